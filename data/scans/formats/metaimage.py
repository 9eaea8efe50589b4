"""MetaImage files, .mha and .mhd.

A header of text, and voxels that are raw, compressed or text: itk.org/Wiki/ITK/MetaIO/Documentation.
"""

import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from medssm.data.scans.formats import Stored, StoredGrid
from medssm.data.scans.formats.label_names import slicer_fields
from medssm.data.scans.formats.segments import numbered, segments_in
from medssm.data.scans.formats.text_headers import (
    VoxelFile,
    check_file_holds,
    check_present,
    damaged_voxels,
    file_beside,
    header_lines,
    malformed,
    native,
    parse_numbers,
    parse_sides,
    raw_voxels,
    text_voxels,
)
from medssm.data.scans.formats.voxels import DAMAGE, DEFLATE_RATIO, inflated, times
from medssm.data.scans.geometry import RAS_LPS, check_affine, from_itk, spacing_of
from medssm.errors import DataError, GeometryError, quoted
from medssm.files import atomic_path

_TYPES = {"CHAR": "i1", "UCHAR": "u1", "SHORT": "i2", "USHORT": "u2", "INT": "i4", "UINT": "u4", "LONG": "i4"}
_TYPES |= {"ULONG": "u4", "LONG_LONG": "i8", "ULONG_LONG": "u8", "FLOAT": "f4", "DOUBLE": "f8"}
_WRITTEN = {"i1": "CHAR", "u1": "UCHAR", "i2": "SHORT", "u2": "USHORT", "i4": "INT", "u4": "UINT"}
_WRITTEN |= {"i8": "LONG_LONG", "u8": "ULONG_LONG", "f4": "FLOAT", "f8": "DOUBLE"}
# The same under older names.
_ALIASES = {
    **dict.fromkeys(("Rotation", "Orientation"), "TransformMatrix"),
    **dict.fromkeys(("Position", "Origin"), "Offset"),
    "ElementByteOrderMSB": "BinaryDataByteOrderMSB",
}


@dataclass(frozen=True)
class MetaHeader:
    """What a MetaImage file says.

    Attributes:
        spacing: (x, y, z) in mm.
        direction: 9 direction cosines by row, LPS+.
        origin: LPS+ mm.
        label_names: label value -> name, as 3D Slicer names segments.
    """

    spacing: tuple[float, ...]
    direction: tuple[float, ...]
    origin: tuple[float, ...]
    label_names: dict[int, str] = field(default_factory=dict)


def read_metaimage(path: Path) -> Stored:
    """Voxels (X, Y, Z) or (X, Y, Z, V), RAS+ affine in mm and header of a MetaImage file.

    Raises: DataError if it is damaged, cut off or no scan; GeometryError for an impossible grid.
    """
    fields, end = _parse(path)
    sides = parse_sides(path, fields["NDims"], fields["DimSize"])
    array = _volumes(path, _voxels(path, fields, end, sides), len(sides))
    spacing, direction, origin, notes = _grid(path, fields, len(sides))
    affine = from_itk(spacing, direction, origin)
    check_affine(affine, path)
    segments = segments_in(fields)
    names = {segment.value: segment.name for segment in segments}
    is_segmentation = bool(segments) and array.dtype.kind in "iu"
    if is_segmentation and array.ndim == 4:
        array, names = numbered(array, segments)
    return Stored(array, affine, MetaHeader(spacing, direction, origin, names), notes, is_segmentation=is_segmentation)


def metaimage_files(path: Path) -> list[Path]:
    """The header and, where it names one, the file with its voxels.

    Raises: DataError if the header is damaged or there is no such file.
    """
    fields, _ = _parse(path)
    return list(dict.fromkeys((path, _voxels_path(path, fields))))


def _voxels_path(path: Path, fields: Mapping[str, str]) -> Path:
    name = fields["ElementDataFile"]
    return path if name.upper() == "LOCAL" else file_beside(path, name)


def _parse(path: Path) -> tuple[dict[str, str], int]:
    """The fields of a header, and where it ends."""
    fields: dict[str, str] = {}
    end = 0
    for line in header_lines(path):
        end = line.end
        key, equals, value = line.text.partition("=")
        if not equals:
            raise malformed(path, line)
        name = key.strip()
        fields[_ALIASES.get(name, name)] = value.strip()
        if name == "ElementDataFile":
            break
    check_present(path, fields, "NDims", "DimSize", "ElementType", "ElementDataFile")
    return fields, end


def _voxels(path: Path, fields: Mapping[str, str], end: int, sides: tuple[int, ...]) -> np.ndarray:
    """The voxels as they lie in the file, the first axis fastest, channels before it, in the machine's byte order."""
    code = _TYPES.get(fields["ElementType"].removeprefix("MET_").removesuffix("_ARRAY"))
    if code is None:
        raise DataError(f"{path}: ElementType {quoted(fields['ElementType'])} is no type of numbers; export it again")
    dtype = np.dtype(code).newbyteorder(">" if _is_set(fields, "BinaryDataByteOrderMSB") else "<")
    channels = fields.get("ElementNumberOfChannels", "1")
    if not channels.isascii() or not channels.isdecimal() or not 0 < len(channels) <= 4 or int(channels) == 0:
        raise DataError(f"{path}: ElementNumberOfChannels {quoted(channels)} is no number; export the scan again")
    data = _voxels_path(path, fields)
    shape = sides if channels == "1" else (int(channels), *sides)
    voxels = VoxelFile(data, end if data == path else 0, dtype, shape)
    if fields.get("BinaryData", "True").lower() in ("false", "0"):
        return text_voxels(path, voxels)
    if _is_set(fields, "CompressedData"):
        return _inflated(path, voxels)
    return raw_voxels(path, _after_header(path, fields, voxels))


def _is_set(fields: Mapping[str, str], key: str) -> bool:
    return fields.get(key, "").lower() in ("true", "1")


def _after_header(path: Path, fields: Mapping[str, str], voxels: VoxelFile) -> VoxelFile:
    """Where raw voxels begin in a file that has a header of its own; -1 says that they are its last bytes."""
    (size,) = parse_numbers(path, fields, "HeaderSize")[:1] or [0.0]
    if size == -1:
        return voxels._replace(offset=max(voxels.path.stat().st_size - voxels.size, 0))
    if not size >= 0:
        raise DataError(f"{path}: HeaderSize {size:g} is no number of bytes; export the scan again")
    return voxels._replace(offset=voxels.offset + int(size))


def _inflated(path: Path, voxels: VoxelFile) -> np.ndarray:
    check_file_holds(path, voxels, DEFLATE_RATIO)
    with open(voxels.path, "rb") as file:
        file.seek(voxels.offset)
        content = file.read()
    try:
        return native(inflated(content, voxels.dtype, voxels.shape))
    except DAMAGE as error:
        raise damaged_voxels(path, error) from error


def _volumes(path: Path, array: np.ndarray, dimension: int) -> np.ndarray:
    """(X, Y, Z), or (X, Y, Z, V) of several volumes or channels."""
    has_channels = array.ndim > dimension
    if dimension not in (3, 4) or (has_channels and dimension == 4):
        raise DataError(f"{path}: {times(array.shape)} voxels are no 3-D scan; give one 3-D volume")
    moved = np.moveaxis(array, 0, -1) if has_channels else array
    return moved[..., 0] if moved.ndim == 4 and moved.shape[3] == 1 else moved


def _grid(
    path: Path, fields: Mapping[str, str], dimension: int
) -> tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...], tuple[str, ...]]:
    """Spacing, direction cosines by row and origin, LPS+, and what the header left out; there ITK's guesses are taken.

    Raises: GeometryError for a spacing that is none, or another count of numbers than there are axes.
    """
    spacing_key = "ElementSpacing" if "ElementSpacing" in fields else "ElementSize"
    spacing = parse_numbers(path, fields, spacing_key)
    matrix = parse_numbers(path, fields, "TransformMatrix")
    origin = parse_numbers(path, fields, "Offset")
    for key, numbers, count in (
        (spacing_key, spacing, dimension),
        ("TransformMatrix", matrix, dimension**2),
        ("Offset", origin, dimension),
    ):
        if numbers and len(numbers) != count:
            raise GeometryError(f"{path}: {key} has {len(numbers)} numbers in place of {count}; correct the header")
    if not all(math.isfinite(size) and size > 0 for size in spacing[:3]):
        shown = ", ".join(f"{size:g}" for size in spacing[:3])
        raise GeometryError(
            f"{path}: spacing ({shown}) mm has a zero or is no number; correct the header (medssm data check shows it)"
        )
    guesses = [name for name, found in (("spacing", spacing), ("orientation", matrix)) if not found]
    notes = (f"beware: its header tells no {' and no '.join(guesses)}, so that is a guess",) if guesses else ()
    rows = np.reshape(matrix or np.eye(dimension), (dimension, dimension))[:3, :3]  # an axis each
    return (
        tuple(spacing[:3] or (1.0, 1.0, 1.0)),
        tuple(rows.T.ravel().tolist()),
        tuple(origin[:3] or (0.0, 0.0, 0.0)),
        notes,
    )


def _header_of(affine: np.ndarray) -> MetaHeader:
    """The header of the affine (4, 4), to RAS+ mm, of a grid that came from another format."""
    lps, spacing = RAS_LPS @ affine, spacing_of(affine)
    return MetaHeader(spacing, tuple((lps[:3, :3] / spacing).ravel().tolist()), tuple(lps[:3, 3].tolist()))


def write_metaimage(path: Path, array: np.ndarray, like: StoredGrid, names: Mapping[int, str]) -> None:
    """Writes an (X, Y, Z) array, compressed, with the geometry of `like` and 3D Slicer's segment names."""
    header = like.header if isinstance(like.header, MetaHeader) else _header_of(like.affine)
    content = zlib.compress(array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes(order="F"))
    directions = np.reshape(header.direction, (3, 3)).T.ravel().tolist()
    lines = [
        "ObjectType = Image",
        "NDims = 3",
        "BinaryData = True",
        "BinaryDataByteOrderMSB = False",
        "CompressedData = True",
        f"CompressedDataSize = {len(content)}",
        f"TransformMatrix = {_shown(directions)}",
        f"Offset = {_shown(header.origin)}",
        "CenterOfRotation = 0 0 0",
        f"ElementSpacing = {_shown(header.spacing)}",
        f"DimSize = {' '.join(map(str, array.shape))}",
        *(f"{key} = {' '.join(value.split())}" for key, value in slicer_fields(names).items()),
        f"ElementType = MET_{_WRITTEN[array.dtype.str[1:]]}",
        "ElementDataFile = LOCAL",
    ]
    with atomic_path(path) as temporary:
        temporary.write_bytes("\n".join([*lines, ""]).encode("utf-8", "replace") + content)


def _shown(numbers: "tuple[float, ...] | list[float]") -> str:
    return " ".join(map(repr, numbers))
