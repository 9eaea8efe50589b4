"""What made an output, in a file beside it: what is done is known by it, whoever asks."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import TypeAdapter

import medssm
from medssm.errors import DataError, MedssmError
from medssm.files import atomic_path, file_sha256, json_text

FOLDER = ".medssm"
FORMAT = "medssm record 1"


class FileState(NamedTuple):
    """What files hold; size in bytes and time of the last change in ns spare reading them where neither differs."""

    sha256: str
    size: int
    modified: int


@dataclass(frozen=True)
class Record:
    """What became of a scan.

    Attributes:
        scan: what the input holds. weights_sha256, settings_sha256: of what the outputs depend on.
        settings: all of them, for people. version: of medssm, which is kept and not compared.
        why: a sentence if it failed. notes: what a person should know of it.
        outputs: what each holds, by its name in the record's own folder's parent.
    """

    file: str
    scan: FileState
    weights_sha256: str
    settings_sha256: str
    settings: Mapping[str, Any]
    status: Literal["done", "failed"]
    why: str
    notes: Sequence[str]
    seconds: float
    peak_memory_bytes: int | None
    outputs: Mapping[str, FileState]
    version: str = medssm.__version__

    def vouches_for(self, output: Path) -> bool:
        """Whether an output is as it was written."""
        known = self.outputs.get(output.name)
        return known is not None and holds([output], known)

    def write(self, path: Path) -> None:
        """Writes it whole or not at all.

        Raises: OSError of the file system.
        """
        document = {"format": FORMAT, "ended": datetime.now(timezone.utc).isoformat(timespec="seconds"), **asdict(self)}
        document["scan"] = self.scan._asdict()
        document["outputs"] = {name: known._asdict() for name, known in self.outputs.items()}
        with atomic_path(path) as temporary:
            temporary.write_text(json_text(document), encoding="utf-8")


_RECORDS = TypeAdapter(Record)


def record_path(output: Path) -> Path:
    """Where the record of an output, and of those that are written with it, lies."""
    return output.parent / FOLDER / f"{output.name}.json"


def read_record(path: Path) -> Record | None:
    """The record in a file; None if there is none, or none that can be read."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(document, dict) or document.pop("format", None) != FORMAT:
            return None
        document.pop("ended", None)
        return _RECORDS.validate_python(document)
    except (OSError, ValueError, RecursionError):
        return None


def contents_of(files: Sequence[Path]) -> FileState:
    """What files hold; the hash of several is that of their names and hashes."""
    hashes = [file_sha256(file) for file in files]
    if len(files) == 1:
        return FileState(hashes[0], *_looks(files))
    named = "".join(f"{file.name} {digest}\n" for file, digest in zip(files, hashes, strict=True))
    return FileState(hashlib.sha256(named.encode("utf-8", "surrogateescape")).hexdigest(), *_looks(files))


def holds(files: Sequence[Path], known: FileState) -> bool:
    """Whether files hold what they are known to have held; they are read only if size or time differ."""
    size, modified = _looks(files)
    return size == known.size and (modified == known.modified or contents_of(files).sha256 == known.sha256)


class Snapshot:
    """The files of a scan as they are before it is read: what is made of it is recorded as made of these.

    Attributes:
        contents: what they hold.
    """

    def __init__(self, scan: Path, files: Sequence[Path]) -> None:
        """Raises: OSError if they cannot be read."""
        self.scan, self.files = scan, files
        self._stats = _stats(files)
        self.contents = contents_of(files)

    @contextmanager
    def read(self) -> Iterator[None]:
        """Within it the scan is read.

        Raises: DataError if another program has written to the files meanwhile or put others in their place.
        """
        try:
            yield
        except MedssmError:  # whose cause may be just that
            self._refuse_changed()
            raise
        self._refuse_changed()

    def _refuse_changed(self) -> None:
        if _stats(self.files) != self._stats:
            raise DataError(f"{self.scan}: was changed while it was read; run the same command when it is whole")


def settings_sha256(settings: Mapping[str, Any]) -> str:
    """Of settings that JSON can hold, in any order."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def _stats(files: Iterable[Path]) -> list[tuple[int, ...]]:
    """What tells a file from another and from itself as it was; nothing of one that is not there."""
    found: list[tuple[int, ...]] = []
    for file in files:
        with suppress(FileNotFoundError):
            stat = file.stat()
            found.append((stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns))
    return found


def _looks(files: Iterable[Path]) -> tuple[int, int]:
    states = [file.stat() for file in files]
    return sum(state.st_size for state in states), max((state.st_mtime_ns for state in states), default=0)
