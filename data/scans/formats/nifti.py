"""NIfTI files: voxels without a float64 copy, and a header that goes to the output bit for bit."""

import gzip
import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import nibabel as nib
import numpy as np
from nibabel.arrayproxy import ArrayProxy
from nibabel.filebasedimages import ImageFileError
from nibabel.nifti1 import Nifti1Header, Nifti1Image
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError

from medssm.data.scans.formats import DEFLATE_LIMIT, Stored, StoredGrid
from medssm.data.scans.formats.label_names import names_in_nifti, nifti_extension
from medssm.data.scans.geometry import check_affine, is_sheared
from medssm.errors import DataError, GeometryError, one_line
from medssm.files import atomic_path

# What a damaged file makes nibabel and gzip raise.
_DAMAGE = (ImageFileError, HeaderDataError, WrapStructError, EOFError, OSError, zlib.error, ValueError, OverflowError)

# Units of length other than mm in a header's xyzt_units; ITK converts them as well.
_MILLIMETRES = {1: 1000.0, 3: 0.001}

_SLAB_BYTES = 64 << 20

# Of voxels, of extensions before them, and of whatever follows them in a compressed file.
_MOST_VOXELS, _LONGEST_EXTENSION, _MOST_BEHIND = 1 << 48, 64 << 20, 64 << 20


@dataclass(frozen=True)
class NiftiHeader:
    """A header as it lies in its file."""

    stored: Nifti1Header

    @property
    def label_names(self) -> dict[int, str]:
        """Label value -> name by a label table among its extensions."""
        return names_in_nifti(self.stored.extensions)


def read_nifti(path: Path) -> Stored:
    """Voxels (X, Y, Z), RAS+ affine in mm and header of a NIfTI file.

    Integers without a scale stay as stored, and an uncompressed file is mapped rather than read; scaled voxels
    become float32. Both matter for a scan of gigabytes. The affine is nibabel's choice: the sform where its code is
    not 0, else the qform, else pixdim alone.

    Raises: DataError if the file is cut off, damaged or not a single 3-D scan; GeometryError for an impossible affine
        or a pixdim of zero, which nibabel would take for 1 mm and ITK for another scale than the sform's.
    """
    try:
        stored_pixdim = _stored_pixdim(path)
        if _is_compressed(path):
            with gzip.open(path) as stream:
                image = _image_class(stream).from_stream(stream)
                _check_file_holds(path, image.header, path.stat().st_size * DEFLATE_LIMIT)
                stored = _unpacked(_proxy(image), stream)
        else:
            image = _mapped(path)
            _check_file_holds(path, image.header, path.stat().st_size)
            stored = _proxy(image).get_unscaled()
        array = _voxels(path, stored, _proxy(image).slope, _proxy(image).inter)
        affine = np.array(image.affine, dtype=np.float64)
    except FileNotFoundError:
        raise
    except _DAMAGE as error:
        reason = one_line(str(error), 150) or type(error).__name__
        raise DataError(f"{path}: cut off, damaged or no NIfTI file ({reason}); copy or download it again") from error
    affine[:3] *= _MILLIMETRES.get(int(image.header["xyzt_units"]) & 7, 1.0)
    check_affine(affine, path)
    # nibabel mends a strange pixdim on loading; ITK reads it as it stands, so the output must have it as it stands.
    image.header["pixdim"] = stored_pixdim
    return Stored(array, affine, NiftiHeader(image.header))


def _is_compressed(path: Path) -> bool:
    return path.name.lower().endswith(".gz")


def _stored_pixdim(path: Path) -> np.ndarray:
    with gzip.open(path) if _is_compressed(path) else open(path, "rb") as stream:
        header = _image_class(stream).header_class.from_fileobj(stream, check=False)
    if header["magic"].item()[:2] != b"n+":
        raise ImageFileError("no NIfTI header in one file with its voxels")
    _check_sizes(header)
    used = header["pixdim"][1 : 1 + min(3, max(1, int(header["dim"][0])))]
    if not np.isfinite(used).all() or not used.all():
        shown = ", ".join(f"{size:g}" for size in used)
        raise GeometryError(
            f"{path}: spacing ({shown}) mm in pixdim has a zero or is no number; correct the header "
            "(medssm data check shows it)"
        )
    return header["pixdim"]


def _check_sizes(header: Nifti1Header) -> None:
    """Raises ValueError for sizes whose product would wrap around, or extensions that no scan has."""
    count, *sides = (int(side) for side in header["dim"])
    offset = float(header["vox_offset"])
    if not 1 <= count <= 7 or min(sides[:count]) < 0 or math.prod(sides[:count]) > _MOST_VOXELS:
        raise ValueError(f"dimensions {', '.join(map(str, (count, *sides)))}")
    if not 0 <= offset <= _LONGEST_EXTENSION:
        raise ValueError(f"its voxels begin at byte {offset:g}")


def _image_class(stream: IO[bytes] | gzip.GzipFile) -> type[Nifti1Image]:
    """NIfTI-2 or NIfTI-1 by the header's first four bytes, its own size."""
    start = stream.read(4)
    stream.seek(0)
    return nib.Nifti2Image if start in (b"\x1c\x02\x00\x00", b"\x00\x00\x02\x1c") else Nifti1Image


def _mapped(path: Path) -> Nifti1Image:
    image = nib.load(path, mmap="r")
    if not isinstance(image, Nifti1Image):
        raise ImageFileError(f"{type(image).__name__} instead of a NIfTI volume")
    return image


def _proxy(image: Nifti1Image) -> ArrayProxy:
    assert isinstance(image.dataobj, ArrayProxy)
    return image.dataobj


def _unpacked(proxy: ArrayProxy, stream: gzip.GzipFile) -> np.ndarray:
    """The stored voxels, unpacked into their place: nibabel would hold them twice meanwhile."""
    array = np.empty(proxy.shape, proxy.dtype, order="F")
    place = array.reshape(-1, order="F").view(np.uint8).data
    stream.seek(proxy.offset)
    while len(place):
        count = stream.readinto(place[:_SLAB_BYTES])
        if not count:
            raise EOFError(f"{len(place)} bytes of voxels are missing")
        place = place[count:]
    # Only at its end does gzip compare the checksum: without this a damaged scan would be read as a good one.
    behind = 0
    while block := stream.read(1 << 20):
        behind += len(block)
        if behind > _MOST_BEHIND:
            raise ValueError("many more bytes follow its voxels")
    return array


def _check_file_holds(path: Path, header: Nifti1Header, available: int) -> None:
    needed = int(np.prod(header.get_data_shape(), dtype=np.int64)) * header.get_data_dtype().itemsize
    if needed > available:
        shape = "x".join(map(str, header.get_data_shape()))
        raise DataError(f"{path}: the header promises {shape} voxels, more than the file can hold; copy it again")


def _voxels(path: Path, stored: np.ndarray, slope: float, inter: float) -> np.ndarray:
    """The voxels as (X, Y, Z) in the machine's byte order, scaled by the header's slope and intercept."""
    if stored.dtype.kind not in "iuf" or stored.dtype.itemsize > 8:
        raise DataError(f"{path}: voxels of type {stored.dtype} are no grey values; give a scan of plain numbers")
    array = _three_axes(path, stored)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    return array if (slope, inter) == (1, 0) else _scaled(array, slope, inter)


def _three_axes(path: Path, array: np.ndarray) -> np.ndarray:
    shape = array.shape + (1,) * (3 - array.ndim)
    if max(shape[3:], default=1) > 1:
        shown = "x".join(map(str, shape))
        raise DataError(f"{path}: {shown} voxels are several volumes in one file; give one 3-D volume")
    if 0 in shape:
        raise DataError(f"{path}: a scan of {'x'.join(map(str, shape))} voxels is empty")
    return array.reshape(shape[:3], order="F")


def _scaled(array: np.ndarray, slope: float, inter: float) -> np.ndarray:
    """array * slope + inter in float32, slice by slice: a float64 copy of the whole would be four times the scan."""
    scaled = np.empty(array.shape, np.float32, order="F")
    for k in range(array.shape[2]):
        scaled[..., k] = array[..., k] * np.float64(slope) + inter
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
    return NiftiHeader(header)


def write_nifti(path: Path, array: np.ndarray, like: StoredGrid, names: Mapping[int, str]) -> None:
    """Writes `array` with the geometry of the header of `like`: shape, forms, codes, pixdim and units bit for bit.

    Extensions and free text of the input stay behind, as they may name the patient.

    Args:
        array: (X, Y, Z) of labels, or (X, Y, Z, C) of one value per class.
    """
    header = (like.header if isinstance(like.header, NiftiHeader) else nifti_header(like.affine, like.shape)).stored
    out = header.copy()
    out.set_data_dtype(array.dtype if array.dtype.kind in "iu" else np.float32)
    out.set_slope_inter(1, 0)
    out.set_intent("label" if array.ndim == 3 else "vector")
    out["cal_min"] = out["cal_max"] = out["vox_offset"] = 0
    for field in {"descrip", "aux_file", "db_name"}.intersection(out.keys()):
        out[field] = b""
    out.extensions.clear()
    if names:
        out.extensions.append(nifti_extension(names))
    stored = header.get_data_shape() if array.ndim == 3 else array.shape
    image_class = nib.Nifti2Image if isinstance(header, nib.Nifti2Header) else Nifti1Image
    # Without an affine nibabel takes over the header's own geometry instead of writing it anew.
    image = image_class(array.reshape(stored, order="F"), None, out)
    image.header["pixdim"] = header["pixdim"]
    with atomic_path(path) as temporary:
        nib.save(image, temporary)
