"""Whether a Matroska file (WebM, MKV) is all there: FFmpeg plays one that is cut off without a word."""

from pathlib import Path
from typing import BinaryIO

from medssm.errors import DataError

_HEADER, _SEGMENT = bytes.fromhex("1a45dfa3"), bytes.fromhex("18538067")


def check_complete(path: Path) -> None:
    """Raises DataError if the file is shorter than its segment says; files of other kinds pass.

    Source: RFC 8794 (EBML), sections 4 and 6: an element is its name, its size and its content.
    """
    with open(path, "rb") as file:
        if file.read(4) != _HEADER:
            return
        header = _read_size(file)
        if header is not None:
            file.seek(header, 1)
        size = _read_size(file) if file.read(4) == _SEGMENT else None
        if size is None:  # a live recording does not know its size
            return
        missing = file.tell() + size - path.stat().st_size
    if missing > 0:
        raise DataError(f"{path}: the file breaks off, {missing:,} bytes are missing; copy or download it again")


def _read_size(file: BinaryIO) -> int | None:
    """None if it is left open. The zeros before the first one bit count the bytes that follow."""
    start = file.read(1)
    if not start or start == b"\0":
        return None
    bits = 7 * (9 - start[0].bit_length())
    value = int.from_bytes(start + file.read(bits // 7 - 1), "big") & (1 << bits) - 1
    return None if value == (1 << bits) - 1 else value
