"""What the text headers of NRRD and MetaImage files have in common, read without a library that would act on them.

Both are a few lines of text and raw or compressed numbers. What the lines claim is checked here: numbers are numbers of
a possible size, and voxels that lie in a file of their own lie in a plain file in the header's own folder, so that no
header can show another file's content as if it were a scan.
"""

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from medssm.data.scans.formats.voxels import DAMAGE, mapped, times
from medssm.errors import DataError, quoted, reason_of

# Of a header as a whole, of one of its lines, and of the number of voxels along an axis and in all.
_LONGEST_HEADER, _LONGEST_LINE = 4 << 20, 1 << 16
_LONGEST_AXIS, _MOST_VOXELS = 1 << 20, 1 << 40
# Millimetres, cosines and HU of scans lie far below.
_LARGEST_NUMBER = 1e9
# Voxels as text, of which Python holds many times more than their bytes.
_LONGEST_TEXT = 64 << 20

_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?|[-+]?(nan|inf)", re.IGNORECASE)


class Line(NamedTuple):
    """A line of a header.

    Attributes:
        number: from 1.
        text: without spaces around it.
        end: where the next line begins, in bytes.
    """

    number: int
    text: str
    end: int


class VoxelFile(NamedTuple):
    """Where voxels lie: a file, the first byte, and which type, order of bytes included, in which shape."""

    path: Path
    offset: int
    dtype: np.dtype
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Bytes of the voxels."""
        return math.prod(self.shape) * self.dtype.itemsize


def header_lines(path: Path) -> Iterator[Line]:
    """The lines of a header.

    Raises: DataError at one that is no text.
    """
    with open(path, "rb") as file:
        start = file.read(_LONGEST_HEADER)
    position = 0
    for number in range(1, 1 << 20):
        end = start.find(b"\n", position)
        line = start[position : end if end >= 0 else len(start)]
        if not line and end < 0:
            return
        if len(line) > _LONGEST_LINE or b"\0" in line:
            raise DataError(f"{path}: line {number} of its header is no text; copy or download the file again")
        position = end + 1 if end >= 0 else len(start)
        yield Line(number, line.decode("utf-8", "replace").strip(), position)
        if end < 0:
            return


def malformed(path: Path, line: Line) -> DataError:
    """The error of a line that is no field."""
    return DataError(
        f"{path}: line {line.number} of its header, {quoted(line.text)}, is no field; copy or download it again"
    )


def check_present(path: Path, fields: Mapping[str, str], *keys: str) -> None:
    """Raises DataError if a field is missing."""
    for key in keys:
        if key not in fields:
            raise DataError(f"{path}: its header has no {key}; export the scan again")


def parse_sides(path: Path, dimension: str, sizes: str) -> tuple[int, ...]:
    """Voxels along each axis.

    Raises: DataError for what is no size of a scan.
    """
    sides = sizes.split()
    if dimension not in ("1", "2", "3", "4", "5") or len(sides) != int(dimension):
        raise DataError(
            f"{path}: its header has the dimension {quoted(dimension)} and sizes {quoted(sizes)}, which do not fit; "
            "export the scan again"
        )
    if not all(re.fullmatch(r"[0-9]{1,8}", side) and 0 < int(side) <= _LONGEST_AXIS for side in sides):
        raise DataError(f"{path}: sizes {quoted(sizes)} are no numbers of voxels; export the scan again")
    if math.prod(map(int, sides)) > _MOST_VOXELS:
        raise DataError(f"{path}: {quoted(sizes)} voxels are more than any scan has; export it again")
    return tuple(map(int, sides))


def parse_numbers(path: Path, fields: Mapping[str, str], key: str) -> list[float]:
    """The numbers of a field; none where it is missing.

    Raises: DataError for a word that is none, or a number that no scan's header has.
    """
    words = re.split(r"[\s(),]+", fields.get(key, ""))
    return [_number(path, key, word) for word in words if word]


def _number(path: Path, key: str, word: str) -> float:
    if not word.isascii() or not _NUMBER.fullmatch(word) or abs(float(word)) > _LARGEST_NUMBER:
        raise DataError(f"{path}: {key}: {quoted(word)} is no number of a scan's header; export the scan again")
    return float(word)


def unknown_word(path: Path, key: str, value: str) -> DataError:
    """The error of a field whose value is none of those that are read."""
    return DataError(f"{path}: {key}: {quoted(value)} is none that is read here; export the scan again")


def file_beside(path: Path, name: str) -> Path:
    """The plain file beside a header that its voxels are said to be in.

    Raises: DataError also where the header lists several files.
    """
    if Path(name).name != name or name.startswith(".") or "%" in name or name.upper().startswith("LIST"):
        raise DataError(
            f"{path}: its voxels are said to be in {quoted(name)}; they must be in one file in the same folder, so put "
            "it there and correct the header"
        )
    data = path.parent / name
    try:
        is_plain = data.is_file() and not data.is_symlink()
    except OSError:  # a name that is too long
        is_plain = False
    if not is_plain:
        raise DataError(f"{path}: its voxels are said to be in {quoted(name)}, where there is no plain file")
    return data


def check_file_holds(path: Path, voxels: VoxelFile, ratio: int = 1) -> None:
    """Raises DataError if a file is too short for its voxels, of which a byte of it can hold `ratio` bytes."""
    there = max(voxels.path.stat().st_size - voxels.offset, 0) * ratio
    if voxels.size > there and voxels.path != path:
        raise DataError(
            f"{path}: promises {voxels.size} bytes of voxels, more than {quoted(voxels.path.name)} can hold; copy it "
            "again"
        )
    if voxels.size > there:
        shown = times(voxels.shape)
        raise DataError(f"{path}: the header promises {shown} voxels, more than the file can hold; copy it again")


def raw_voxels(path: Path, voxels: VoxelFile) -> np.ndarray:
    """The voxels of an uncompressed file in the machine's byte order, mapped where it is that of the file.

    Raises: DataError if the file is too short.
    """
    check_file_holds(path, voxels)
    return native(mapped(voxels.path, voxels.dtype, voxels.shape, voxels.offset))


def native(array: np.ndarray) -> np.ndarray:
    """The same numbers in the machine's byte order."""
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def text_voxels(path: Path, voxels: VoxelFile) -> np.ndarray:
    """Voxels that are written out as decimal numbers.

    Raises: DataError if there are fewer, or what is no number.
    """
    try:
        words = voxels_text(path, voxels).split()
        if len(words) < math.prod(voxels.shape):
            raise EOFError(f"{len(words)} numbers")
        dtype = voxels.dtype.newbyteorder("=")
        numbers = np.array(words[: math.prod(voxels.shape)], np.float64 if dtype.kind == "f" else object)
        whole = numbers if dtype.kind == "f" else np.array([int(word) for word in numbers.tolist()])
        return whole.astype(dtype).reshape(voxels.shape, order="F")
    except (*DAMAGE, OverflowError) as error:
        raise damaged_voxels(path, error) from error


def voxels_text(path: Path, voxels: VoxelFile) -> bytes:
    """The bytes of voxels that are written as text.

    Raises: DataError if they are more than makes sense.
    """
    if voxels.path.stat().st_size > _LONGEST_TEXT or voxels.size > _LONGEST_TEXT * 4:
        raise DataError(f"{path}: too many voxels are written as text; export the scan as raw or gzip")
    with open(voxels.path, "rb") as file:
        file.seek(voxels.offset)
        return file.read()


def damaged_voxels(path: Path, error: Exception) -> DataError:
    """The error of voxels that cannot be unpacked."""
    return DataError(f"{path}: cut off or damaged ({reason_of(error, 150)}); copy or download it again")
