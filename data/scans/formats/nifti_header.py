"""What a NIfTI header says, checked and without what nibabel would mend in silence.

Where two parts of a header contradict each other programs choose differently; a note says what was chosen here.
nifti.nimh.nih.gov/pub/dist/src/niftilib/nifti1.h
"""

import math
import struct
from collections.abc import Iterator
from typing import IO, NamedTuple

import numpy as np
from nibabel.nifti1 import Nifti1Header
from nibabel.nifti2 import Nifti2Header
from nibabel.quaternions import fillpositive, quat2mat
from nibabel.spatialimages import HeaderDataError
from nibabel.volumeutils import shape_zoom_affine

from medssm.data.scans.formats.label_names import names_in_nifti
from medssm.data.scans.formats.voxels import times
from medssm.data.scans.geometry import check_affine, grid_offset, spacing_of
from medssm.errors import DataError, GeometryError

# Units of length other than mm in a header's xyzt_units; ITK converts them as well.
_MILLIMETRES = {1: 1000.0, 3: 0.001}

# Of voxels, and of extensions before them.
_MOST_VOXELS, _LONGEST_EXTENSION = 1 << 48, 16 << 20

# How the field `magic` begins where the voxels are in the same file, and where they are in another one.
_SINGLE, _PAIR = (b"n+1", b"n+2"), (b"ni1", b"ni2")

# A quaternion that was rounded to four digits is this much longer than 1, squared.
_ROUNDED = 1e-3
# Spacings in pixdim and in the affine that differ by more, as a share, are not one spacing.
_SAME_SPACING = 0.01


class VoxelScale(NamedTuple):
    """What stored voxels are multiplied by, and what is added."""

    slope: float
    inter: float


class ParsedNifti(NamedTuple):
    """A header as it lies in its file, and what it says.

    Attributes:
        stored: as it lies in the file.
        shape: of the voxels in the file, at least three sides.
        offset: of the voxels, in bytes.
        affine: (4, 4) to RAS+ mm.
        label_names: label value -> name.
        notes: what a user should know, one sentence each.
    """

    stored: Nifti1Header
    shape: tuple[int, ...]
    dtype: np.dtype
    offset: int
    scale: VoxelScale
    affine: np.ndarray
    label_names: dict[int, str]
    notes: tuple[str, ...]


def parse_nifti(stream: IO[bytes], source: object, *, in_pair: bool) -> ParsedNifti:
    """The header at the beginning of a stream, which is left where its extensions end.

    Args:
        source: what messages name.
        in_pair: the voxels are in a file of their own (.hdr and .img).

    Raises: DataError if it is none, or claims what no scan has; GeometryError for an impossible grid.
    """
    header = _stored(stream, source)
    if _magic(header) not in (_PAIR if in_pair else _SINGLE):
        raise _other_file(header, source, in_pair)
    shape = _shape(header, source)
    offset = _offset(header, source, in_pair)
    end = _LONGEST_EXTENSION if in_pair else offset - header.template_dtype.itemsize
    label_names, notes = names_in_nifti(_extensions(stream.read(max(end, 0)), header.endianness))
    scale, strange = _scale(header)
    affine, choices = _affine(header, shape, source)
    return ParsedNifti(
        header, shape, _data_type(header, source), offset, scale, affine, label_names, (*strange, *choices, *notes)
    )


def _stored(stream: IO[bytes], source: object) -> Nifti1Header:
    start = stream.read(4)
    is_second = start in (b"\x1c\x02\x00\x00", b"\x00\x00\x02\x1c")
    kind: type[Nifti1Header] = Nifti2Header if is_second else Nifti1Header
    block = start + stream.read(kind.template_dtype.itemsize - 4)
    if len(block) < kind.template_dtype.itemsize:
        raise damaged_nifti(source, f"{len(block)} bytes are no header")
    return kind(block, check=False)


def _magic(header: Nifti1Header) -> bytes:
    return bytes(header["magic"].item()[:3])


def _other_file(header: Nifti1Header, source: object, in_pair: bool) -> DataError:
    if _magic(header) in (*_PAIR, *_SINGLE):
        kind, ending = ("one file with its voxels", ".nii") if in_pair else ("a header without its voxels", ".hdr")
        return DataError(f"{source}: is {kind}; let its name end in {ending}")
    if in_pair and int(header["sizeof_hdr"]) == 348:
        return DataError(
            f"{source}: is an Analyze header, which does not tell left from right; convert the scan to NIfTI"
        )
    return damaged_nifti(source, "no NIfTI header at its beginning")


def damaged_nifti(source: object, why: str) -> DataError:
    """The error of a file that is none, or not whole."""
    return DataError(f"{source}: cut off, damaged or no NIfTI file ({why}); copy or download it again")


def _shape(header: Nifti1Header, source: object) -> tuple[int, ...]:
    """The sides; an axis that is said to be absent, as a fourth one of 0, counts as 1.

    Raises: DataError for sizes whose product would wrap around.
    """
    count, *sides = (int(side) for side in header["dim"])
    if not 1 <= count <= 7 or min(sides[:count]) < 0 or math.prod(filter(None, sides[:count])) > _MOST_VOXELS:
        shown = ", ".join(map(str, (count, *sides)))
        raise damaged_nifti(source, f"dimensions {shown}")
    spatial = (*sides[: min(count, 3)], 1, 1)[:3]
    if 0 in spatial:
        raise DataError(f"{source}: a scan of {times(spatial)} voxels is empty")
    return (*spatial, *(max(side, 1) for side in sides[3:count]))


def _offset(header: Nifti1Header, source: object, in_pair: bool) -> int:
    offset = float(header["vox_offset"])
    if not 0 <= offset <= _LONGEST_EXTENSION:
        raise damaged_nifti(source, f"its voxels begin at byte {offset:g}")
    return int(offset) if in_pair else max(int(offset), header.template_dtype.itemsize + 4)


def _data_type(header: Nifti1Header, source: object) -> np.dtype:
    try:
        dtype = header.get_data_dtype()
    except (KeyError, HeaderDataError) as error:
        raise DataError(f"{source}: voxels of the type {int(header['datatype'])}, which NIfTI does not have") from error
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        raise DataError(f"{source}: voxels of type {dtype} are no grey values; give a scan of plain numbers")
    return dtype


def _extensions(block: bytes, endianness: str) -> Iterator[bytes]:
    """The contents of a header's extensions; what is damaged ends them."""
    place = 4
    if not block.startswith(b"\0") and len(block) >= 4:
        while place + 8 <= len(block):
            size, _ = struct.unpack_from(f"{endianness}2i", block, place)
            if size < 8 or place + size > len(block):
                return
            yield block[place + 8 : place + size]
            place += size


def _scale(header: Nifti1Header) -> tuple[VoxelScale, list[str]]:
    """What the voxels are scaled by, and what is strange about it; NaN is how nibabel writes that nothing is."""
    slope, inter = float(header["scl_slope"]), float(header["scl_inter"])
    if not math.isfinite(slope) or slope == 0:
        strange = [] if not math.isinf(slope) else ["scl_slope is infinite, so its voxels are taken as they are stored"]
        return VoxelScale(1.0, 0.0), strange
    if not math.isfinite(inter):
        return VoxelScale(slope, 0.0), [f"scl_inter is {inter:g}, so nothing is added to its voxels"]
    return VoxelScale(slope, inter), []


def _affine(header: Nifti1Header, shape: tuple[int, ...], source: object) -> tuple[np.ndarray, list[str]]:
    """The sform where its code is not 0, else the qform, else pixdim alone, as nibabel has it, and what is to be said.

    Raises: GeometryError for a pixdim of zero, which nibabel would take for 1 mm, or an impossible affine.
    """
    spacing = _pixdim(header, source)
    sform, qform = _sform(header), _qform(header, spacing)
    notes = []
    if sform is not None and not sform[:3, :3].any() and qform is not None:
        sform = None
        notes.append("its sform is all zero; its qform was taken")
    if sform is not None:
        affine = sform
        notes += _disagreements(sform, qform, spacing, shape)
    elif qform is not None:
        affine = qform
    elif header["qform_code"] > 0:
        raise GeometryError(f"{source}: the quaternion of its qform is no rotation; correct the header")
    else:
        affine = shape_zoom_affine(shape[:3], spacing, x_flip=True)
        notes.append(
            "beware: its header does not say how it lies in the patient (qform and sform have code 0), so left and "
            "right are a guess"
        )
    affine = np.array(affine, np.float64)
    affine[:3] *= _MILLIMETRES.get(int(header["xyzt_units"]) & 7, 1.0)
    check_affine(affine, source)
    return affine, notes


def _pixdim(header: Nifti1Header, source: object) -> np.ndarray:
    """The spacing (3,), positive; 1 along an axis that the file does not have."""
    count = min(3, int(header["dim"][0]))
    used = header["pixdim"][1 : 1 + count]
    if not np.isfinite(used).all() or not used.all():
        shown = ", ".join(f"{size:g}" for size in used)
        raise GeometryError(
            f"{source}: spacing ({shown}) mm in pixdim has a zero or is no number; correct the header "
            "(medssm data check shows it)"
        )
    spacing = np.abs(header["pixdim"][1:4])
    spacing[count:] = np.where(np.isfinite(spacing[count:]) & (spacing[count:] > 0), spacing[count:], 1)
    return spacing


def _sform(header: Nifti1Header) -> np.ndarray | None:
    return header.get_sform() if header["sform_code"] > 0 else None


def _qform(header: Nifti1Header, spacing: np.ndarray) -> np.ndarray | None:
    """As nibabel computes it, but for a quaternion that was rounded; None without code or where it is no rotation."""
    if header["qform_code"] <= 0:
        return None
    quaternion = [header[f"quatern_{letter}"] for letter in "bcd"]
    if not np.isfinite(quaternion).all() or np.dot(quaternion, quaternion) > 1 + _ROUNDED:
        return None
    rotation = quat2mat(fillpositive(quaternion, -_ROUNDED))
    handed = spacing * (1, 1, -1 if header["pixdim"][0] < 0 else 1)
    affine = np.eye(4)
    affine[:3, :3] = rotation @ np.diag(handed)
    affine[:3, 3] = [header[f"qoffset_{letter}"] for letter in "xyz"]
    return affine


def _disagreements(
    sform: np.ndarray, qform: np.ndarray | None, spacing: np.ndarray, shape: tuple[int, ...]
) -> Iterator[str]:
    """What else the header says of the grid, where the sform was taken."""
    said = np.array(spacing_of(sform))
    if qform is None:
        if (np.abs(said - spacing) > _SAME_SPACING * said).any():
            shown, other = (", ".join(f"{size:g}" for size in sizes) for sizes in (said, spacing))
            yield f"beware: its sform has a spacing of ({shown}) mm, which was taken, and its pixdim ({other}) mm"
    elif np.linalg.det(sform[:3, :3]) * np.linalg.det(qform[:3, :3]) < 0:
        yield "beware: its sform, which was taken, and its qform are mirror images, so left and right may be exchanged"
    elif not (apart := grid_offset(shape[:3], sform, qform)) <= said.min() / 2:
        yield f"beware: its sform, which was taken, and its qform place voxels up to {apart:.4g} mm apart"
