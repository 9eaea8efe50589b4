"""Voxels out of files: raw ones are mapped, compressed ones unpacked into their place, never more than was promised.

Whether a file is compressed is told by its first bytes: names lie, as `.nii` does of a file that is gzipped.
"""

import bz2
import gzip
import lzma
import math
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, NamedTuple, cast

import numpy as np

# What damaged voxels make the unpackers raise.
DAMAGE = (EOFError, OSError, lzma.LZMAError, zlib.error, ValueError)

# Whatever follows the voxels is unpacked up to here, to come to the checksum at the end.
_MOST_BEHIND = 16 << 20
_AT_ONCE = 4 << 20


class _Packing(NamedTuple):
    """How a compressed file begins, what opens it, and the most that a byte of it can unpack to."""

    magic: bytes
    opened: Callable[[Path | IO[bytes]], IO[bytes]]
    ratio: int


def gunzipped(source: Path | IO[bytes]) -> IO[bytes]:
    """What a file, or what follows in an open one, is when gzip has unpacked it."""
    return cast(IO[bytes], gzip.open(source, "rb"))


def bunzipped(source: Path | IO[bytes]) -> IO[bytes]:
    """What a file, or what follows in an open one, is when bzip2 has unpacked it."""
    return bz2.open(source, "rb")


def unxzed(source: Path | IO[bytes]) -> IO[bytes]:
    """What a file, or what follows in an open one, is when xz has unpacked it."""
    return lzma.open(source, "rb")


# Deflate ends at 1032; 900,000 equal bytes are 39 of bzip2's; LZMA ends near 7,100.
DEFLATE_RATIO, BZIP2_RATIO, XZ_RATIO = 1032, 1 << 15, 1 << 13
_PACKINGS = (
    _Packing(b"\x1f\x8b", gunzipped, DEFLATE_RATIO),
    _Packing(b"BZh", bunzipped, BZIP2_RATIO),
    _Packing(b"\xfd7z", unxzed, XZ_RATIO),
)


def is_packed(path: Path) -> bool:
    """Whether a file is compressed."""
    return _packing(path) is not None


def opened(path: Path) -> IO[bytes]:
    """The content of a file, unpacked where it is compressed.

    Raises: OSError if it cannot be opened; reading may raise any of DAMAGE.
    """
    packing = _packing(path)
    return packing.opened(path) if packing else open(path, "rb")


def most_bytes(path: Path) -> int:
    """The most bytes that the content of a file can have."""
    packing = _packing(path)
    return path.stat().st_size * (packing.ratio if packing else 1)


def _packing(path: Path) -> _Packing | None:
    with open(path, "rb") as file:
        start = file.read(3)
    return next((row for row in _PACKINGS if start.startswith(row.magic)), None)


def mapped(path: Path, dtype: np.dtype, shape: tuple[int, ...], offset: int) -> np.ndarray:
    """Voxels of a file as they lie there, the first axis fastest; read when they are looked at."""
    return np.memmap(path, dtype, "r", offset, shape, order="F")


def unpacked(stream: IO[bytes], dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    """The voxels that come next in a stream, the first axis fastest, and the stream read to its end.

    Only at its end does an unpacker compare the checksum: without this a damaged scan would be read as a good one.

    Raises: EOFError if there are fewer; ValueError if much follows; what else is among DAMAGE.
    """
    array = np.empty(shape, dtype, order="F")
    place = array.reshape(-1, order="F").view(np.uint8).data
    while len(place):
        block = stream.read(min(_AT_ONCE, len(place)))
        if not block:
            raise EOFError(f"{len(place)} bytes of voxels are missing")
        place[: len(block)] = block
        place = place[len(block) :]
    behind = 0
    while block := stream.read(1 << 20):
        behind += len(block)
        if behind > _MOST_BEHIND:
            raise ValueError("many more bytes follow its voxels")
    return array


def inflated(content: bytes, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    """The voxels that a whole zlib or gzip stream holds, the first axis fastest.

    Raises: EOFError if there are fewer; what else is among DAMAGE.
    """
    size = math.prod(shape) * dtype.itemsize
    packed = zlib.decompressobj(wbits=47)
    voxels = packed.decompress(content, size)
    if len(voxels) < size:
        raise EOFError(f"{size - len(voxels)} bytes of voxels are missing")
    packed.decompress(packed.unconsumed_tail, _AT_ONCE)  # on to the checksum
    return np.frombuffer(voxels, dtype).reshape(shape, order="F")


def times(shape: tuple[int, ...]) -> str:
    """Sizes as people write them.

    >>> times((512, 512, 20))
    '512x512x20'
    """
    return "x".join(map(str, shape))
