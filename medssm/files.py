"""Files and folders that are written whole or not at all."""

import hashlib
import json
import math
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from medssm.errors import UsageError

UNFINISHED = ".writing-"
_ABANDONED_AFTER = 86400  # seconds


@contextmanager
def atomic_path(path: str | Path, *, is_private: bool = False) -> Iterator[Path]:
    """A temporary path beside `path` that takes its name when the block ends well, and vanishes otherwise.

    The temporary name keeps the whole suffix (`.nii.gz`), because writers choose the format by it.
    The data reach the disk before the rename, so that a crash leaves the old file or the new one.

    Args:
        is_private: nobody but the user may read the file, whatever the umask.

    Raises: OSError of the file system, with `path` unchanged.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    suffix = "".join(path.suffixes[-2:])
    handle, name = tempfile.mkstemp(prefix=UNFINISHED, suffix=suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        _flush_to_disk(temporary)
        temporary.chmod(0o600 if is_private else 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:  # of a disk that is full
            error.filename = str(path)
        raise


def json_text(content: Any, indent: int | None = 2, *, is_ascii: bool = False) -> str:
    """JSON that every reader takes: null for what is not finite, file names that are no text escaped, a line's end.

    Args:
        is_ascii: every letter beyond ASCII is escaped, for a terminal that may have no other.

    >>> json_text({"dice": float("nan"), "file": "caf\\udce9"}, None)
    '{"dice": null, "file": "caf\\\\udce9"}\\n'
    """
    text = json.dumps(_finite(content), indent=indent, ensure_ascii=is_ascii, allow_nan=False)
    return text.encode("utf-8", "backslashreplace").decode() + "\n"


def _finite(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def refuse_full_folder(folder: Path) -> None:
    """Raises UsageError unless `folder` is absent or empty."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder}: is not an empty folder; name another one, nothing is overwritten")


def refuse_unwritable(outputs: Iterable[Path | None]) -> None:
    """Tries the folders of files that are to be written, or where they will be made; leaves nothing behind.

    Raises: UsageError if nothing can be written there.
    """
    for folder in dict.fromkeys(path.parent for path in outputs if path is not None):
        there = next(parent for parent in (folder, *folder.resolve().parents) if parent.exists())
        try:
            with tempfile.TemporaryFile(prefix=UNFINISHED, dir=there):
                pass
        except OSError as error:
            raise UsageError(
                f"{folder}: nothing can be written there ({error.strerror}); choose another folder"
            ) from error


@contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder beside `folder` that takes its name when the block ends well, and vanishes otherwise.

    If another process has put a full folder there meanwhile, that one stays.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=folder.parent))
    try:
        yield temporary
        temporary.chmod(0o755)
        try:
            os.replace(temporary, folder)
        except OSError:
            if not folder.is_dir() or not any(folder.iterdir()):
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def remove_unfinished(folder: Path) -> None:
    """Deletes what killed processes left half-written in a folder that no other process writes to."""
    for left in folder.glob(f"{UNFINISHED}*"):
        shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)


def remove_abandoned(parent: Path) -> None:
    """Deletes what killed processes left half-written in a folder, once it is a day old."""
    for left in parent.glob(f"{UNFINISHED}*"):
        with suppress(OSError):  # another process may sweep at the same time
            if left.stat().st_mtime < time.time() - _ABANDONED_AFTER:
                shutil.rmtree(left) if left.is_dir() else left.unlink()


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _flush_to_disk(path: Path) -> None:
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def cache_folder() -> Path:
    """The user's cache folder for medssm: MEDSSM_CACHE, else XDG_CACHE_HOME/medssm, else ~/.cache/medssm."""
    if explicit := os.environ.get("MEDSSM_CACHE"):
        return Path(explicit)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "medssm"


def cached_folder(kind: str, name: str, write: Callable[[Path], None]) -> Path:
    """A folder of the cache, `kind/name`, which `write` makes at the first call, whole or not at all.

    Processes that start at once each write their own; the first one done is kept by all.
    """
    folder = cache_folder() / kind / name
    if not folder.is_dir():
        remove_abandoned(folder.parent)
        write(folder)
    return folder


def spreadsheet_cell(value: object) -> object:
    """The value of a CSV cell; a text that a spreadsheet would take for a formula gets a ' before it.

    >>> spreadsheet_cell("=HYPERLINK(1)"), spreadsheet_cell("liver"), spreadsheet_cell(-1.5)
    ("'=HYPERLINK(1)", 'liver', -1.5)
    """
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value
