"""What lies in the user's cache, by kind."""

import shutil
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from medssm.errors import UsageError, quoted
from medssm.files import cache_folder

# Of what may be in the cache: it is made or fetched again when it is needed.
WHAT = {
    "preprocessed": "scans of datasets on a network's grid, readable by you alone",
    "fingerprints": "what plans of trainings know of datasets of scans",
    "coco": "annotations of COCO datasets in a form that opens at once",
    "weights": "published weights that were fetched, and their SHA-256",
}
SYNTHETIC = "a synthetic dataset"


class Kept(NamedTuple):
    """What is kept of a kind.

    Attributes:
        size: in bytes. last_used: None if there is nothing.
    """

    kind: str
    what: str
    files: int
    size: int
    last_used: datetime | None


def kept(kind: str | None = None) -> list[Kept]:
    """What the cache holds, a row for each kind, or for one of them.

    Raises: UsageError if there is nothing of the kind.
    """
    return [_of(folder) for folder in _folders(kind)]


def clear_cache(kind: str | None = None) -> int:
    """Deletes what the cache holds, or what it holds of one kind, and gives the bytes that were freed.

    Raises: UsageError if there is nothing of the kind.
    """
    freed = 0
    for folder in _folders(kind):
        freed += _of(folder).size
        shutil.rmtree(folder)
    return freed


def _folders(kind: str | None) -> list[Path]:
    folder = cache_folder()
    found = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    if kind is None:
        return found
    chosen = [path for path in found if path.name == kind]
    if not chosen:
        there = f"it holds {', '.join(path.name for path in found)}" if found else "it is empty"
        raise UsageError(f"{folder}: holds nothing of the kind {quoted(kind)}; {there}")
    return chosen


def _of(folder: Path) -> Kept:
    files = [file.stat() for file in folder.rglob("*") if file.is_file() and not file.is_symlink()]
    used = max((max(file.st_mtime, file.st_atime) for file in files), default=None)
    size = sum(file.st_size for file in files)
    when = None if used is None else datetime.fromtimestamp(used)
    return Kept(folder.name, WHAT.get(folder.name, SYNTHETIC), len(files), size, when)
