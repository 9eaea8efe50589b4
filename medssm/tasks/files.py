"""Images and videos: which files are meant, and where what is written for each goes."""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, Protocol

from PIL import Image

from medssm.data.clips.names import is_video_name
from medssm.data.images.names import is_image_name
from medssm.data.images.reading import read_image
from medssm.data.scans.volume import volume_suffix
from medssm.errors import DataError, UsageError


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


InputKind = Literal["scan", "image", "video"]
_COMMANDS: dict[InputKind, str] = {
    "scan": "is a scan, which medssm predict segments",
    "image": "is an image; medssm classify names what it shows, detect finds objects on it, segment labels its pixels",
    "video": "is a video, which medssm classify takes",
}


def refuse_other_inputs(inputs: Iterable[Path], *taken: InputKind) -> None:
    """Raises UsageError, which says the right command, for an input that is of another kind by its name.

    For a folder that holds nothing of the right kind, the first file of another kind speaks. What has an unknown name
    may be a scan.
    """
    for path in inputs:
        found = {file: kinds_of(file) for file in _with_those_inside(path)}
        if any(kinds & set(taken) or (not kinds and "scan" in taken) for kinds in found.values()):
            continue
        if other := next((file for file, kinds in found.items() if kinds), None):
            raise UsageError(f"{other}: {_COMMANDS[min(found[other])]}")


def kinds_of(file: Path) -> set[InputKind]:
    """What a file may be, by its name; a GIF is an image and a video. DICOM's files have any name, and count for none.

    >>> sorted(kinds_of(Path("a.gif"))), kinds_of(Path("a.nii.gz"))
    (['image', 'video'], {'scan'})
    """
    tests: dict[InputKind, bool] = {
        "scan": bool(volume_suffix(file)) or file.suffix.lower() == ".dcm",
        "image": is_image_name(file.name),
        "video": is_video_name(file.name),
    }
    return {kind for kind, is_so in tests.items() if is_so}


def _with_those_inside(path: Path) -> list[Path]:
    return [path] if not path.is_dir() else sorted(file for file in path.rglob("*") if file.is_file())


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
