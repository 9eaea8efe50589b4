"""NRRD files: scans, and the segmentations of 3D Slicer (.seg.nrrd), which may be cropped and in layers.

A header of text, and voxels that are raw, compressed or text: teem.sourceforge.net/nrrd/format.html.
"""

import gzip
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

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
    unknown_word,
    voxels_text,
)
from medssm.data.scans.formats.voxels import BZIP2_RATIO, DAMAGE, DEFLATE_RATIO, bunzipped, gunzipped, times, unpacked
from medssm.data.scans.geometry import RAS_LPS, check_affine
from medssm.errors import DataError, GeometryError, quoted
from medssm.files import atomic_path

_TYPES = {
    "i1": "signed char, int8, int8_t",
    "u1": "uchar, unsigned char, uint8, uint8_t",
    "i2": "short, short int, signed short, signed short int, int16, int16_t",
    "u2": "ushort, unsigned short, unsigned short int, uint16, uint16_t",
    "i4": "int, signed int, int32, int32_t",
    "u4": "uint, unsigned int, uint32, uint32_t",
    "i8": "longlong, long long, long long int, signed long long, signed long long int, int64, int64_t",
    "u8": "ulonglong, unsigned long long, unsigned long long int, uint64, uint64_t",
    "f4": "float",
    "f8": "double",
}
_TYPE_OF = {name: code for code, names in _TYPES.items() for name in names.split(", ")}
_WRITTEN = {"i1": "int8", "u1": "uint8", "i2": "int16", "u2": "uint16", "i4": "int32", "u4": "uint32"}
_WRITTEN |= {"i8": "int64", "u8": "uint64", "f4": "float", "f8": "double"}

# What turns a space into RAS+.
_RAS = {
    **dict.fromkeys(("right-anterior-superior", "ras"), np.diag([1.0, 1, 1, 1])),
    **dict.fromkeys(("left-anterior-superior", "las"), np.diag([-1.0, 1, 1, 1])),
    **dict.fromkeys(("left-posterior-superior", "lps"), RAS_LPS),
}
# Spaces that do not say where the patient is.
_VAGUE = frozenset(("scanner-xyz", "3d-right-handed", "3d-left-handed"))
_MILLIMETRES = {
    **dict.fromkeys(("mm", "millimeter", "millimeters", "millimetre", "millimetres", "", "???", "none"), 1.0),
    **dict.fromkeys(("um", "µm", "μm", "micron", "microns", "micrometer", "micrometers", "micrometre"), 0.001),
    **dict.fromkeys(("cm", "centimeter", "centimeters", "centimetre", "centimetres"), 10.0),
    **dict.fromkeys(("m", "meter", "meters", "metre", "metres"), 1000.0),
}
_VECTOR = re.compile(r"none|\([^()]*\)", re.IGNORECASE)
_WORD = re.compile(r'"([^"]*)"')
# Kinds of axes that are no direction of space.
_SPATIAL = frozenset(("domain", "space", "???", "none"))
_ALIASES = {"datafile": "data file", "byteskip": "byte skip", "lineskip": "line skip"}


@dataclass(frozen=True)
class NrrdHeader:
    """What an NRRD file says.

    Attributes:
        label_names: label value -> name, of a segmentation of 3D Slicer.
        geometry: the lines of the header that hold it; none where they are not complete.
    """

    label_names: dict[int, str] = field(default_factory=dict)
    geometry: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Parsed:
    """A header: its fields by their names in small letters, its key/value pairs, and where it ends."""

    path: Path
    fields: Mapping[str, str]
    pairs: Mapping[str, str]
    end: int

    @property
    def sides(self) -> tuple[int, ...]:
        return parse_sides(self.path, self.fields["dimension"], self.fields["sizes"])

    @property
    def voxels_path(self) -> Path:
        name = self.fields.get("data file")
        return self.path if name is None else file_beside(self.path, name)

    @property
    def vectors(self) -> list[str]:
        """One for each axis, in brackets, or "none"; none at all where the header has no directions."""
        found: list[str] = _VECTOR.findall(self.fields.get("space directions", ""))
        return [vector if parse_numbers(self.path, {"": _bare(vector)}, "") else "none" for vector in found]


def read_nrrd(path: Path) -> Stored:
    """Voxels (X, Y, Z) or (X, Y, Z, V), RAS+ affine in mm and header of an NRRD file.

    Raises: DataError if it is damaged, cut off or no scan; GeometryError for an impossible grid.
    """
    parsed = _parse(path)
    array, axes = _spatial_first(parsed, _voxels(parsed))
    affine, notes = _affine(parsed, axes)
    check_affine(affine, path)
    segments = segments_in(parsed.pairs)
    if segments and array.dtype.kind not in "iu":
        raise DataError(f"{path}: its segments are fractions, not labels; export them as a binary labelmap")
    names = {segment.value: segment.name for segment in segments}
    if segments and array.ndim == 4:
        array, names = numbered(array, segments)
    return Stored(array, affine, NrrdHeader(names, _geometry(parsed, axes)), notes, is_segmentation=bool(segments))


def nrrd_files(path: Path) -> list[Path]:
    """The header and, where it names one, the file with its voxels.

    Raises: DataError if the header is damaged or there is no such file.
    """
    return list(dict.fromkeys((path, _parse(path).voxels_path)))


def _parse(path: Path) -> _Parsed:
    fields: dict[str, str] = {}
    pairs: dict[str, str] = {}
    end = 0
    for line in header_lines(path):
        end = line.end
        if line.number == 1 and not line.text.startswith("NRRD"):
            raise DataError(f"{path}: no NRRD header at its beginning; copy or download it again")
        if not line.text:
            break
        if line.number == 1 or line.text.startswith("#"):
            continue
        key, is_pair, value = line.text.partition(":=")
        if is_pair and ": " not in key:
            pairs[key] = _unescaped(value)
            continue
        key, colon, value = line.text.partition(":")
        if not colon:
            raise malformed(path, line)
        name = key.strip().lower()
        fields[_ALIASES.get(name, name)] = value.strip()
    check_present(path, fields, "dimension", "sizes", "type", "encoding")
    return _Parsed(path, fields, pairs, end)


def _voxels(parsed: _Parsed) -> np.ndarray:
    """The voxels as they lie in the file, the first axis fastest, in the machine's byte order."""
    path, fields = parsed.path, parsed.fields
    code = _TYPE_OF.get(fields["type"].lower())
    if code is None:
        raise unknown_word(path, "type", fields["type"])
    endian = fields.get("endian", "little").lower()
    if endian not in ("little", "big"):
        raise unknown_word(path, "endian", endian)
    dtype = np.dtype(code).newbyteorder("<" if endian == "little" else ">")
    data = parsed.voxels_path
    voxels = VoxelFile(data, 0 if data != path else parsed.end, dtype, parsed.sides)
    encoding = fields["encoding"].lower()
    skipped = {key: fields.get(key, "0") for key in ("line skip", "byte skip")}
    if encoding == "raw":
        return raw_voxels(path, _after_skips(path, voxels, skipped))
    if skipped != {"line skip": "0", "byte skip": "0"}:
        raise DataError(f"{path}: bytes are to be skipped before compressed voxels; export the scan again")
    if encoding in ("gzip", "gz"):
        return _unpacked(path, voxels, gunzipped, DEFLATE_RATIO)
    if encoding in ("bzip2", "bz2"):
        return _unpacked(path, voxels, bunzipped, BZIP2_RATIO)
    if encoding in ("txt", "text", "ascii"):
        return text_voxels(path, voxels)
    if encoding == "hex":
        return _from_hex(path, voxels)
    raise unknown_word(path, "encoding", fields["encoding"])


def _after_skips(path: Path, voxels: VoxelFile, skipped: Mapping[str, str]) -> VoxelFile:
    for key, value in skipped.items():
        if not re.fullmatch(r"-1|[0-9]{1,12}", value):
            raise unknown_word(path, key, value)
    lines, count = int(skipped["line skip"]), int(skipped["byte skip"])
    if lines > 0:
        raise DataError(f"{path}: lines are to be skipped before the voxels; export the scan again")
    if count == -1:  # they are the last bytes of the file
        return voxels._replace(offset=max(voxels.path.stat().st_size - voxels.size, 0))
    return voxels._replace(offset=voxels.offset + count)


def _unpacked(path: Path, voxels: VoxelFile, unpacker: Callable[[IO[bytes]], IO[bytes]], ratio: int) -> np.ndarray:
    check_file_holds(path, voxels, ratio)
    try:
        with open(voxels.path, "rb") as file:
            file.seek(voxels.offset)
            return native(unpacked(unpacker(file), voxels.dtype, voxels.shape))
    except DAMAGE as error:
        raise damaged_voxels(path, error) from error


def _from_hex(path: Path, voxels: VoxelFile) -> np.ndarray:
    try:
        content = bytes.fromhex(voxels_text(path, voxels).decode("ascii"))
        if len(content) < voxels.size:
            raise EOFError(f"{voxels.size - len(content)} bytes of voxels are missing")
    except DAMAGE as error:
        raise damaged_voxels(path, error) from error
    return native(np.frombuffer(content[: voxels.size], voxels.dtype).reshape(voxels.shape, order="F"))


def _spatial_first(parsed: _Parsed, array: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """The voxels as (X, Y, Z) or (X, Y, Z, V), and which axes of the file are those of space.

    Raises: DataError unless there are three, and at most one other axis that is longer than 1.
    """
    vectors, kinds = parsed.vectors, parsed.fields.get("kinds", "").lower().split()
    if vectors and len(vectors) != array.ndim:
        raise DataError(f"{parsed.path}: {array.ndim} axes, but {len(vectors)} space directions; correct the header")
    if vectors:
        spatial = [axis for axis, vector in enumerate(vectors) if vector != "none"]
    elif len(kinds) == array.ndim > 3:
        spatial = [axis for axis, kind in enumerate(kinds) if kind in _SPATIAL]
    else:
        spatial = list(range(min(array.ndim, 3)))
    others = [axis for axis in range(array.ndim) if axis not in spatial]
    if len(spatial) != 3 or sum(array.shape[axis] > 1 for axis in others) > 1:
        raise DataError(
            f"{parsed.path}: {times(array.shape)} voxels along {len(spatial)} axes of space are no 3-D scan; give one "
            "3-D volume"
        )
    moved = array.transpose(spatial + others)
    count = math.prod(moved.shape[3:])
    return moved.reshape(moved.shape[:3] if count == 1 else (*moved.shape[:3], count)), spatial


def _affine(parsed: _Parsed, axes: list[int]) -> tuple[np.ndarray, tuple[str, ...]]:
    """(4, 4) to RAS+ mm, and what was not said of it."""
    path, fields, notes = parsed.path, parsed.fields, []
    space = fields.get("space", "").lower()
    if space and space not in _RAS and space not in _VAGUE:
        raise unknown_word(path, "space", fields["space"])
    parse_numbers(path, fields, "measurement frame")
    affine = np.eye(4)
    if parsed.vectors:
        columns = [parse_numbers(path, {"space directions": parsed.vectors[axis]}, "space directions") for axis in axes]
        origin = parse_numbers(path, fields, "space origin")
        if any(len(column) != 3 for column in columns) or len(origin) not in (0, 3):
            raise GeometryError(
                f"{path}: its space directions and origin are no vectors of three numbers; correct them"
            )
        affine[:3, :3] = np.array(columns).T
        affine[:3, 3] = origin or 0
        if space not in _RAS:
            said = f"its space {quoted(fields['space'])}" if space else "its header"
            notes.append(
                f"beware: {said} does not say where left and right are; its axes are taken for LPS, as ITK does"
            )
    else:
        affine[:3, :3] = np.diag(_spacings(parsed, axes))
        what = "orientation" if "spacings" in fields else "spacing and orientation"
        notes.append(f"beware: its header tells no {what}, so {'they are' if ' ' in what else 'it is'} a guess")
    scale = _unit(parsed, axes)
    if scale != 1:
        notes.append("its lengths were turned into mm; programs built on ITK take them for mm as they stand")
    affine[:3] *= scale
    return _RAS.get(space, RAS_LPS) @ affine, tuple(notes)


def _spacings(parsed: _Parsed, axes: list[int]) -> list[float]:
    sizes = parse_numbers(parsed.path, parsed.fields, "spacings")
    if not sizes:
        return [1.0, 1.0, 1.0]
    used = [abs(sizes[axis]) for axis in axes if axis < len(sizes)]
    if len(used) != 3 or not all(math.isfinite(size) and size > 0 for size in used):
        shown = ", ".join(f"{size:g}" for size in sizes)
        raise GeometryError(f"{parsed.path}: spacings ({shown}) have a zero or are no number; correct the header")
    return used


def _unit(parsed: _Parsed, axes: list[int]) -> float:
    """How many mm the header's unit of length is."""
    words: list[str] = _WORD.findall(parsed.fields.get("space units", ""))
    if not parsed.vectors:
        units: list[str] = _WORD.findall(parsed.fields.get("units", ""))
        words = [units[axis] for axis in axes if axis < len(units)]
    found = {_MILLIMETRES.get(word.strip().lower()) for word in words} or {1.0}
    scale = found.pop()
    if found or scale is None:
        shown = quoted(" ".join(words))
        raise GeometryError(f"{parsed.path}: lengths in {shown} cannot be turned into mm; correct the header's units")
    return scale


def _geometry(parsed: _Parsed, axes: list[int]) -> tuple[str, ...]:
    """The lines of a 3-D file that has the same geometry, to the letter."""
    fields = parsed.fields
    if not parsed.vectors or "space" not in fields or "space origin" not in fields:
        return ()
    kept = [f"{key}: {fields[key]}" for key in ("space", "space units", "space origin") if key in fields]
    return (*kept, f"space directions: {' '.join(parsed.vectors[axis] for axis in axes)}")


def write_nrrd(path: Path, array: np.ndarray, like: StoredGrid, names: Mapping[int, str]) -> None:
    """Writes an (X, Y, Z) array, gzipped, with the geometry of `like` and 3D Slicer's segment names."""
    kept = like.header.geometry if isinstance(like.header, NrrdHeader) else ()
    lines = [
        "NRRD0005",
        f"type: {_WRITTEN[array.dtype.str[1:]]}",
        "dimension: 3",
        f"sizes: {' '.join(map(str, array.shape))}",
        *(kept or _lines_of(like.affine)),
        "kinds: domain domain domain",
        "endian: little",
        "encoding: gzip",
        *(f"{key}:={_escaped(value)}" for key, value in slicer_fields(names).items()),
    ]
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        file.write("\n".join([*lines, "", ""]).encode("utf-8", "replace"))
        with gzip.GzipFile(fileobj=file, mode="wb", filename="", mtime=0) as packed:
            for z in range(array.shape[2]):
                packed.write(array[:, :, z].astype(array.dtype.newbyteorder("<"), copy=False).tobytes(order="F"))


def _lines_of(affine: np.ndarray) -> list[str]:
    *columns, origin = (RAS_LPS @ affine)[:3].T.tolist()
    return [
        "space: left-posterior-superior",
        f"space directions: {' '.join(map(_vector, columns))}",
        f"space origin: {_vector(origin)}",
    ]


def _vector(numbers: list[float]) -> str:
    return f"({','.join(map(repr, numbers))})"


def _bare(vector: str) -> str:
    """A vector without what stands for no number: an axis that is none of space has "none" or a vector of NaN."""
    words = re.split(r"[\s(),]+", vector.lower())
    return "" if {*words} <= {"", "nan", "none"} else vector


def _escaped(value: str) -> str:
    return " ".join(value.replace("\\", "\\\\").splitlines())


def _unescaped(value: str) -> str:
    return re.sub(r"\\(.)", lambda found: " " if found[1] == "n" else found[1], value)
