"""NIfTI files: voxels without a float64 copy, and a header that goes to the output bit for bit."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.nifti1 import Nifti1Header, Nifti1Image

from medssm.data.scans.formats import Stored, StoredGrid
from medssm.data.scans.formats.label_names import nifti_extension
from medssm.data.scans.formats.nifti_header import ParsedNifti, VoxelScale, damaged_nifti, parse_nifti
from medssm.data.scans.formats.voxels import DAMAGE, is_packed, mapped, most_bytes, opened, times, unpacked
from medssm.data.scans.geometry import is_sheared
from medssm.errors import DataError, reason_of
from medssm.files import atomic_path

# The header and the voxels of a scan that is two files.
_HALVES = {".hdr": ".img", ".hdr.gz": ".img.gz"}


@dataclass(frozen=True)
class NiftiHeader:
    """A header as it lies in its file.

    Attributes:
        shape: of a label map: that of the file, or (X, Y, Z) of one of its volumes.
        label_names: label value -> name by a label table among its extensions.
    """

    stored: Nifti1Header
    shape: tuple[int, ...]
    label_names: dict[int, str]


def read_nifti(path: Path) -> Stored:
    """Voxels (X, Y, Z), RAS+ affine in mm and header of a NIfTI file.

    Integers without a scale stay as stored, and an uncompressed file is mapped rather than read; scaled voxels
    become float32. Both matter for a scan of gigabytes. The affine is nibabel's choice: the sform where its code is
    not 0, else the qform, else pixdim alone.

    Raises: DataError if the file is cut off, damaged or no scan; GeometryError for an impossible grid.
    """
    header_path, voxels_path = _files(path)
    in_pair = header_path != voxels_path
    try:
        with opened(header_path) as stream:
            parsed = parse_nifti(stream, path, in_pair=in_pair)
            _check_file_holds(path, parsed, most_bytes(voxels_path))
            if not is_packed(voxels_path):
                array = mapped(voxels_path, parsed.dtype, parsed.shape, parsed.offset)
            elif in_pair:
                with opened(voxels_path) as voxels:
                    voxels.seek(parsed.offset)
                    array = unpacked(voxels, parsed.dtype, parsed.shape)
            else:
                stream.seek(parsed.offset)
                array = unpacked(stream, parsed.dtype, parsed.shape)
    except FileNotFoundError:
        raise
    except DAMAGE as error:
        raise damaged_nifti(path, reason_of(error, 150)) from error
    array = _three_axes(array)
    shape = parsed.shape if array.ndim == 3 else parsed.shape[:3]
    dims = int(parsed.stored["dim"][0])
    header = NiftiHeader(parsed.stored, shape[: max(dims, 1)], parsed.label_names)
    return Stored(_scaled(_native(array), parsed.scale), parsed.affine, header, parsed.notes)


def nifti_files(path: Path) -> list[Path]:
    """The file, or both halves of a pair, the header first.

    Raises: DataError if the half of a pair is missing.
    """
    return list(dict.fromkeys(_files(path)))


def _files(path: Path) -> tuple[Path, Path]:
    """The file with the header and the one with the voxels, which may be the same.

    Raises: DataError if the half of a pair is missing.
    """
    name = path.name
    for ending, other in _HALVES.items():
        for own in (ending, other):
            if name.lower().endswith(own):
                stem = name[: -len(own)]
                halves = _beside(path, stem + ending), _beside(path, stem + other)
                if missing := next((half for half in halves if not half.is_file()), None):
                    raise DataError(f"{path}: the other half of the scan, {missing.name}, is not in its folder")
                return halves
    return path, path


def _beside(path: Path, name: str) -> Path:
    """The file of this name in the folder of `path`, in small letters or in capitals as `path` is."""
    own = path.with_name(name)
    capitals = path.with_name(name[: len(Path(name).stem)] + name[len(Path(name).stem) :].upper())
    return capitals if not own.is_file() and capitals.is_file() else own


def _check_file_holds(path: Path, parsed: ParsedNifti, available: int) -> None:
    if int(np.prod(parsed.shape, dtype=object)) * parsed.dtype.itemsize > available - min(parsed.offset, available):
        shape = times(parsed.shape)
        raise DataError(f"{path}: the header promises {shape} voxels, more than the file can hold; copy it again")


def _three_axes(array: np.ndarray) -> np.ndarray:
    """The voxels as (X, Y, Z), or (X, Y, Z, V) of several volumes."""
    if array.size == np.prod(array.shape[:3]):
        return array.reshape(array.shape[:3], order="F")
    return array.reshape((*array.shape[:3], -1), order="F")


def _native(array: np.ndarray) -> np.ndarray:
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _scaled(array: np.ndarray, scale: VoxelScale) -> np.ndarray:
    """array * slope + inter in float32, slice by slice: a float64 copy of the whole would be four times the scan."""
    if scale == (1, 0):
        return array
    scaled = np.empty(array.shape, np.float32, order="F")
    with np.errstate(over="ignore", invalid="ignore"):  # infinities are voxels that are counted and told of later
        for k in range(array.shape[2]):
            scaled[:, :, k] = array[:, :, k] * np.float64(scale.slope) + scale.inter
    return scaled


def nifti_header(affine: np.ndarray, shape: tuple[int, ...]) -> NiftiHeader:
    """A header for the affine (4, 4) of a grid of another format: sform and, where it can say the same, qform."""
    header = Nifti1Header()
    header.set_data_shape(shape)
    header.set_xyzt_units("mm")
    if is_sheared(affine):  # a qform cannot hold a shear: leave it out rather than write another geometry
        header.set_qform(None, code=0)
        header.set_zooms(np.linalg.norm(affine[:3, :3], axis=0))
    else:
        header.set_qform(affine, code=1)
    header.set_sform(affine, code=1)
    return NiftiHeader(header, shape, {})


def write_nifti(path: Path, array: np.ndarray, like: StoredGrid, names: Mapping[int, str]) -> None:
    """Writes `array` with the geometry of the header of `like`: shape, forms, codes, pixdim and units bit for bit.

    Extensions and free text of the input stay behind, as they may name the patient.

    Args:
        array: (X, Y, Z) of labels, or (X, Y, Z, C) of one value per class.
    """
    header = like.header if isinstance(like.header, NiftiHeader) else nifti_header(like.affine, like.shape)
    out = header.stored.copy()
    out.set_data_dtype(array.dtype if array.dtype.kind in "iu" else np.float32)
    out.set_slope_inter(1, 0)
    out.set_intent("label" if array.ndim == 3 else "vector")
    out["cal_min"] = out["cal_max"] = out["vox_offset"] = 0
    for field in {"descrip", "aux_file", "db_name"}.intersection(out.keys()):
        out[field] = b""
    # nibabel mends what is strange; ITK reads it as it stands, so the output must have it as it stands.
    strange = {field: out[field].copy() for field in ("pixdim", "qform_code", "sform_code")}
    usual = type(out)()
    for field in {"magic", "sizeof_hdr", "eol_check"}.intersection(out.keys()):
        out[field] = usual[field]
    out["pixdim"][:4] = (1, *np.abs(out["pixdim"][1:4]))
    out["qform_code"] = out["sform_code"] = 0
    if names:
        out.extensions.append(nifti_extension(names))
    image_class = nib.Nifti2Image if isinstance(out, nib.Nifti2Header) else Nifti1Image
    # Without an affine nibabel takes over the header's own geometry instead of writing it anew.
    image = image_class(array.reshape(header.shape if array.ndim == 3 else array.shape, order="F"), None, out)
    for field, value in strange.items():
        image.header[field] = value
    with atomic_path(path) as temporary:
        nib.save(image, temporary)
