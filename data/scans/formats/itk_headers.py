"""The text headers of NRRD and MetaImage files, looked at before a library acts on them.

Both are a few lines of text and raw or compressed numbers. What the lines claim is checked here: numbers are numbers of
a possible size, words are those of the format, and voxels that lie in a file of their own lie in a plain file in the
header's own folder, so that no header can show another file's content as if it were a scan.
NRRD: teem.sourceforge.net/nrrd/format.html. MetaImage: itk.org/Wiki/ITK/MetaIO/Documentation.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from medssm.data.scans.formats import DEFLATE_LIMIT
from medssm.errors import DataError, quoted

# Of a header as a whole, of one of its lines, and of the number of voxels along an axis and in all.
_LONGEST_HEADER, _LONGEST_LINE = 4 << 20, 1 << 16
_LONGEST_AXIS, _MOST_VOXELS = 1 << 20, 1 << 40
# Millimetres, cosines and HU of scans lie far below.
_LARGEST_NUMBER = 1e9

_META_BYTES = {"CHAR": 1, "UCHAR": 1, "SHORT": 2, "USHORT": 2, "INT": 4, "UINT": 4, "LONG": 4, "ULONG": 4}
_META_BYTES |= {"LONG_LONG": 8, "ULONG_LONG": 8, "FLOAT": 4, "DOUBLE": 8}
_NRRD_BYTES = {
    1: "signed char, int8, int8_t, uchar, unsigned char, uint8, uint8_t",
    2: "short, short int, signed short, signed short int, int16, int16_t, ushort, unsigned short, unsigned short int, "
    "uint16, uint16_t",
    4: "int, signed int, int32, int32_t, uint, unsigned int, uint32, uint32_t, float",
    8: "longlong, long long, long long int, signed long long, signed long long int, int64, int64_t, ulonglong, "
    "unsigned long long, unsigned long long int, uint64, uint64_t, double",
}
_NRRD_TYPES = {name: size for size, names in _NRRD_BYTES.items() for name in names.split(", ")}
_NRRD_SPACES = frozenset(
    [
        *("right-anterior-superior", "ras", "left-anterior-superior", "las", "left-posterior-superior", "lps"),
        *("right-anterior-superior-time", "rast", "left-anterior-superior-time", "last"),
        *("left-posterior-superior-time", "lpst", "scanner-xyz", "scanner-xyz-time", "3d-right-handed"),
        *("3d-left-handed", "3d-right-handed-time", "3d-left-handed-time"),
    ]
)
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?|[-+]?(nan|inf)", re.IGNORECASE)


def check_header(path: Path) -> None:
    """Raises DataError on a header that is malformed, or that points to a file other than a plain one beside it."""
    with open(path, "rb") as file:
        start = file.read(_LONGEST_HEADER)
    if start.startswith(b"NRRD"):
        _check_nrrd(path, start)
    else:
        _check_meta(path, start)


def _check_meta(path: Path, start: bytes) -> None:
    fields: dict[str, str] = {}
    for number, line in _lines(path, start):
        key, equals, value = line.partition("=")
        if not equals:
            raise _malformed(path, number, line)
        fields[key.strip()] = value.strip()
        if key.strip() == "ElementDataFile":
            break
    for key in ("NDims", "DimSize", "ElementType", "ElementDataFile"):
        if key not in fields:
            raise DataError(f"{path}: its header has no {key}; export the scan again")
    sides = _sides(path, fields["NDims"], fields["DimSize"])
    for key in ("TransformMatrix", "Rotation", "Orientation", "Offset", "Position", "Origin", "CenterOfRotation"):
        _check_numbers(path, fields, key)
    for key in ("ElementSpacing", "ElementSize", "ElementMin", "ElementMax", "ElementToIntensityFunctionSlope"):
        _check_numbers(path, fields, key)
    kind = fields["ElementType"].removeprefix("MET_")
    size = _META_BYTES.get(kind.removesuffix("_ARRAY"))
    if size is None:
        raise DataError(f"{path}: ElementType {quoted(fields['ElementType'])} is no type of numbers; export it again")
    if fields["ElementDataFile"].upper() != "LOCAL":
        is_packed = fields.get("CompressedData", "").lower() in ("true", "1")
        _check_data_file(path, fields["ElementDataFile"], math.prod(sides) * size, is_packed)


def _check_nrrd(path: Path, start: bytes) -> None:
    fields: dict[str, str] = {}
    for number, line in _lines(path, start):
        if not line:
            break
        if number == 1 or line.startswith("#") or ":=" in line:
            continue
        key, colon, value = line.partition(":")
        if not colon:
            raise _malformed(path, number, line)
        fields[key.strip().lower()] = value.strip()
    for key in ("dimension", "sizes", "type", "encoding"):
        if key not in fields:
            raise DataError(f"{path}: its header has no {key}; export the scan again")
    sides = _sides(path, fields["dimension"], fields["sizes"])
    _check_words(path, fields, "type", _NRRD_TYPES.__contains__)
    _check_words(path, fields, "space", _NRRD_SPACES.__contains__)
    _check_words(path, fields, "encoding", {"raw", "gzip", "gz", "txt", "text", "ascii", "hex"}.__contains__)
    _check_words(path, fields, "endian", {"little", "big"}.__contains__)
    for key in (
        "space directions",
        "space origin",
        "spacings",
        "thicknesses",
        "axis mins",
        "axis maxs",
        "measurement frame",
    ):
        _check_numbers(path, fields, key)
    for key in ("byte skip", "line skip", "byteskip", "lineskip"):
        _check_words(path, fields, key, lambda value: re.fullmatch(r"-1|\d{1,12}", value) is not None)
    for key in ("data file", "datafile"):
        if key in fields:
            size = math.prod(sides) * _NRRD_TYPES[fields["type"].lower()]
            _check_data_file(path, fields[key], size, fields["encoding"].lower() != "raw")


def _lines(path: Path, start: bytes) -> Iterator[tuple[int, str]]:
    """The lines of a header with their numbers, from 1 on."""
    position = 0
    for number in range(1, 1 << 20):
        end = start.find(b"\n", position)
        line = start[position : end if end >= 0 else len(start)]
        if not line and end < 0:
            return
        if len(line) > _LONGEST_LINE or b"\0" in line:
            raise DataError(f"{path}: line {number} of its header is no text; copy or download the file again")
        yield number, line.decode("utf-8", "replace").strip()
        if end < 0:
            return
        position = end + 1


def _sides(path: Path, dimension: str, sizes: str) -> list[int]:
    """Voxels along each axis."""
    sides = sizes.split()
    if dimension not in ("1", "2", "3", "4", "5") or len(sides) != int(dimension):
        raise DataError(
            f"{path}: its header has the dimension {quoted(dimension)} and sizes {quoted(sizes)}, which do not fit; "
            "export the scan again"
        )
    if not all(re.fullmatch(r"\d{1,8}", side) and 0 < int(side) <= _LONGEST_AXIS for side in sides):
        raise DataError(f"{path}: sizes {quoted(sizes)} are no numbers of voxels; export the scan again")
    if math.prod(map(int, sides)) > _MOST_VOXELS:
        raise DataError(f"{path}: {quoted(sizes)} voxels are more than any scan has; export it again")
    return [int(side) for side in sides]


def _check_numbers(path: Path, fields: Mapping[str, str], key: str) -> None:
    """Of NRRD numbers may stand in brackets, and `none` in the place of a vector."""
    for word in re.split(r"[\s(),]+", fields.get(key, "")):
        if word and word != "none" and not (_NUMBER.fullmatch(word) and not abs(float(word)) > _LARGEST_NUMBER):
            raise DataError(f"{path}: {key}: {quoted(word)} is no number of a scan's header; export the scan again")


def _check_words(path: Path, fields: Mapping[str, str], key: str, is_known: Callable[[str], bool]) -> None:
    if key in fields and not is_known(fields[key].lower()):
        raise DataError(f"{path}: {key}: {quoted(fields[key])} is none that is read here; export the scan again")


def _check_data_file(path: Path, name: str, size: int, is_packed: bool) -> None:
    """Voxels of `size` bytes must be in a plain file beside the header.

    Raises: DataError also where the header lists several files.
    """
    if Path(name).name != name or name.startswith(".") or "%" in name or name.upper().startswith("LIST"):
        raise DataError(
            f"{path}: its voxels are said to be in {quoted(name)}; they must be in one file in the same folder, so put "
            "it there and correct the header"
        )
    data = path.parent / name
    if data.is_symlink() or not data.is_file():
        raise DataError(f"{path}: its voxels are said to be in {quoted(name)}, where there is no plain file")
    there = data.stat().st_size * (DEFLATE_LIMIT if is_packed else 1)
    if size > there:
        raise DataError(f"{path}: promises {size} bytes of voxels, more than {quoted(name)} can hold; copy it again")


def _malformed(path: Path, number: int, line: str) -> DataError:
    return DataError(f"{path}: line {number} of its header, {quoted(line)}, is no field; copy or download it again")
