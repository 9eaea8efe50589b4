"""Whether a video file is all there, by how its container is built: FFmpeg plays what it finds without a word."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from medssm.errors import DataError

# Of Matroska: header, segment and cluster; the last two are looked into.
_EBML, _SEGMENT, _CLUSTER = (bytes.fromhex(code) for code in ("1a45dfa3", "18538067", "1f43b675"))
_TS_PACKETS = (188, 192, 204)  # bytes


class _Damaged(Exception):
    """What is written at a place cannot be."""


def check_structure(path: Path) -> None:
    """Raises DataError if a file breaks off or its parts do not follow each other; files of unknown kinds pass."""
    with open(path, "rb") as file:
        start = file.read(12)
        walk = next((walk for is_so, walk in _KINDS if is_so(start)), None)
        if walk is None:
            return
        file.seek(0)
        size = os.fstat(file.fileno()).st_size
        try:
            end = walk(file, size)
        except _Damaged as error:
            raise DataError(f"{path}: is damaged at its byte {file.tell():,}; copy or download it again") from error
    if end > size:
        raise DataError(f"{path}: the file breaks off, {end - size:,} bytes are missing; copy or download it again")


def _read(file: BinaryIO, count: int) -> bytes:
    content = file.read(count)
    if len(content) < count:
        raise _Damaged
    return content


def _matroska(file: BinaryIO, size: int) -> int:
    """The place where its segment, or the last element of one without a size, ends.

    An element is its name, its size and its content. A live recording leaves sizes open: what follows is looked at.

    Source: RFC 8794 (EBML), sections 4 and 6.
    """
    place = end = 0
    has_end = False
    while place < size and not (has_end and place >= end):
        file.seek(place)
        name = _element_name(file)
        length = _element_size(file)
        place = file.tell()
        if length is None or name in (_SEGMENT, _CLUSTER):
            has_end |= name == _SEGMENT and length is not None
            end = max(end, place + (length or 0))
        else:
            place += length
            end = max(end, place)
    return end


def _element_name(file: BinaryIO) -> bytes:
    start = _read(file, 1)
    if start[0] < 16:
        raise _Damaged
    return start + _read(file, 8 - start[0].bit_length())


def _element_size(file: BinaryIO) -> int | None:
    """None if it is left open. The zeros before the first one bit count the bytes that follow."""
    start = _read(file, 1)
    if start == b"\0":
        raise _Damaged
    bits = 7 * (9 - start[0].bit_length())
    value = int.from_bytes(start + _read(file, bits // 7 - 1), "big") & (1 << bits) - 1
    return None if value == (1 << bits) - 1 else value


def _boxes(file: BinaryIO, size: int) -> int:
    """The place where the last box of an MP4 or QuickTime file ends.

    Source: ISO/IEC 14496-12, section 4.2: a box is its size, its name of four letters, and its content.
    """
    place = 0
    names: set[bytes] = set()
    while place < size:
        file.seek(place)
        head = file.read(16)
        length, name = int.from_bytes(head[:4], "big"), head[4:8]
        length = int.from_bytes(head[8:16], "big") if length == 1 else length or size - place
        if len(name) < 4 or length < 8 or not all(31 < letter < 127 for letter in name):
            if {b"moov", b"mdat"} <= names and b"moof" not in names:
                return size  # a tail that belongs to nothing
            raise _Damaged
        names.add(name)
        place += length
    return place


def _riff(file: BinaryIO, size: int) -> int:
    """About the place where the first list of an AVI file ends; some writers count its own eight bytes, too."""
    return int.from_bytes(_read(file, 8)[4:], "little")


def _gif(file: BinaryIO, size: int) -> int:
    """The place where a GIF ends.

    Source: the GIF89a specification, sections 17 to 27: blocks up to a trailer, data in parts of up to 255 bytes.
    """
    flags = _read(file, 13)[10]
    _skip_colours(file, flags)
    while (kind := _read(file, 1)) != b";":
        if kind == b"!":
            _read(file, 1)
        elif kind == b",":
            _skip_colours(file, _read(file, 9)[8])
            _read(file, 1)
        else:
            raise _Damaged
        while length := _read(file, 1)[0]:
            _read(file, length)
    return file.tell()


def _skip_colours(file: BinaryIO, flags: int) -> None:
    if flags & 0x80:
        _read(file, 3 << (1 + (flags & 7)))


def _transport(file: BinaryIO, size: int) -> int:
    """The place where the last packet of an MPEG transport stream ends."""
    content = file.read(2 * max(_TS_PACKETS) + 8)
    for length in _TS_PACKETS:
        first = length - 188 if length == 192 else 0
        if content[first : first + 1] == content[first + length : first + length + 1] == b"G":
            return -(-size // length) * length
    return size


# How a file begins -> where it ends.
_KINDS: tuple[tuple[Callable[[bytes], bool], Callable[[BinaryIO, int], int]], ...] = (
    (lambda start: start.startswith(_EBML), _matroska),
    (lambda start: start[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide"), _boxes),
    (lambda start: start.startswith(b"RIFF") and start[8:12] == b"AVI ", _riff),
    (lambda start: start.startswith(b"GIF8"), _gif),
    (lambda start: start.startswith(b"G"), _transport),
    (lambda start: start[4:5] == b"G", _transport),
)
