"""Many images or videos one after the other: which files are meant, what is written for each, and which failed."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from PIL import Image

from medssm.data.clips.names import is_video_name
from medssm.data.images.names import is_image_name
from medssm.data.images.reading import read_image
from medssm.errors import DataError, MedssmError, UsageError
from medssm.tasks.failures import failure_sentence

MORE_MEMORY = "close other programs, or give --device cpu"
Found = TypeVar("Found")


class FileKind(Protocol):
    """Which files are meant in a folder; `kind` says so in a word."""

    kind: str

    def takes(self, path: Path) -> bool:
        """Whether a file of this name, found in a folder, is meant."""


class Photographs:
    """Image files."""

    kind = "image"

    def takes(self, path: Path) -> bool:
        return is_image_name(path.name)


@dataclass
class FileResults(Generic[Found]):
    """What was found in each file; a sentence for each that failed."""

    found: dict[Path, Found] = field(default_factory=dict)
    failed: dict[Path, str] = field(default_factory=dict)


def read_photograph(path: Path) -> Image.Image:
    """The image, upright, in RGB with 8 bits per colour.

    Raises: DataError for a video, or what is no readable image.
    """
    if is_video_name(path.name) and not is_image_name(path.name):
        raise DataError(f"{path}: is a video, and the weights are of a model for images; give those of a video model")
    return read_image(path)


def find_files(inputs: Iterable[Path], kind: FileKind, without: Path | None = None) -> list[Path]:
    """Every file once: those named, whatever they are, and those in folders, and in folders below, that are meant.

    Args:
        without: a folder whose files count only if they are named, such as the one that outputs go to.

    Raises: DataError for a folder without any.
    """
    return list(_places(inputs, kind, without))


def output_paths(inputs: Iterable[Path], kind: FileKind, out: Path, ending: str = ".png") -> dict[Path, Path]:
    """The files that `find_files` finds without those in `out`, each with its output in `out`.

    A file from a folder keeps its place below it. Of files that differ only in their suffix, outputs have it in them.

    Raises: UsageError if two files would write the same one, or one of those that are read; DataError for a folder
        without any file.
    """
    places = _places(inputs, kind, out)
    stems = Counter(place.with_suffix("") for place in places.values())
    outputs: dict[Path, Path] = {}
    first: dict[Path, Path] = {}
    for file, place in places.items():
        stem = place.with_suffix("")
        whole = place if stems[stem] > 1 else stem
        outputs[file] = out / whole.with_name(whole.name + ending)
        other = first.setdefault(outputs[file], file)
        if other is not file:
            raise UsageError(f"{other} and {file} would both write {outputs[file]}; give them two --out folders")
    read = {file.resolve() for file in places}
    if lost := next((path for path in outputs.values() if path.resolve() in read), None):
        raise UsageError(f"{lost}: would be written in place of the image that is read; give another --out folder")
    return outputs


def refuse_existing(outputs: Iterable[Path | None]) -> None:
    """Raises UsageError if one of the outputs is there already."""
    there = [path for path in outputs if path is not None and path.exists()]
    if there:
        others = f" and {len(there) - 1} more" if len(there) > 1 else ""
        raise UsageError(f"{there[0]}{others}: there already; give --overwrite to write again, or another --out")


def run_on_files(
    files: Sequence[Path], run: Callable[[Path], Found], progress: Callable[[int, int], None] = lambda *_: None
) -> FileResults[Found]:
    """What `run` gives for each file; one that fails does not stop the others.

    Args:
        progress: called with (files done, files).
    """
    results: FileResults[Found] = FileResults()
    for done, file in enumerate(files):
        progress(done, len(files))
        try:
            results.found[file] = run(file)
        except (MedssmError, OSError, RuntimeError) as error:
            results.failed[file] = failure_sentence(file, error, MORE_MEMORY)
    progress(len(files), len(files))
    return results


def failures(failed: Mapping[Path, str]) -> list[dict[str, str]]:
    """The files that failed and why, as they stand in JSON."""
    return [{"file": str(source), "error": sentence} for source, sentence in failed.items()]


def _places(inputs: Iterable[Path], kind: FileKind, without: Path | None) -> dict[Path, Path]:
    """Every file with its path below the folder that was named, or just its name."""
    first: dict[Path, tuple[Path, Path]] = {}
    for path in inputs:
        for file in _files_of(path, kind, without):
            first.setdefault(file.resolve(), (file, file.relative_to(path) if path.is_dir() else Path(file.name)))
    return dict(first.values())


def _files_of(path: Path, kind: FileKind, without: Path | None) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    found = [file for file in sorted(path.rglob("*")) if file.is_file() and kind.takes(file)]
    if without is not None:
        found = [file for file in found if without.resolve() not in file.resolve().parents]
    if not found:
        raise DataError(f"{path}: holds no {kind.kind} file; name one, or another folder")
    yield from found
