"""FreeSurfer's volumes, .mgz and .mgh: surfer.nmr.mgh.harvard.edu/fswiki/FsTutorial/MghFormat.

A label map of one is written as NIfTI, which FreeSurfer reads as well, and which holds names.
"""

import math
from pathlib import Path

import numpy as np
from nibabel.freesurfer.mghformat import DATA_OFFSET, MGHHeader

from medssm.data.scans.formats import Stored
from medssm.data.scans.formats.nifti import nifti_header
from medssm.data.scans.formats.voxels import DAMAGE, most_bytes, opened, times, unpacked
from medssm.data.scans.geometry import check_affine
from medssm.errors import DataError, reason_of

_TYPES = {0: ">u1", 1: ">i4", 3: ">f4", 4: ">i2", 10: ">u2"}
_MOST_VOXELS = 1 << 40


def read_mgh(path: Path) -> Stored:
    """Voxels (X, Y, Z) or (X, Y, Z, V), RAS+ affine in mm, and a NIfTI header of that affine.

    Raises: DataError if it is damaged, cut off or no scan; GeometryError for an impossible grid.
    """
    try:
        with opened(path) as stream:
            start = stream.read(DATA_OFFSET)
            if len(start) < DATA_OFFSET:
                raise EOFError(f"{len(start)} bytes are no header")
            header = MGHHeader(start, check=False)
            shape, dtype = _voxels(path, header)
            if math.prod(shape) * dtype.itemsize > most_bytes(path):
                raise DataError(
                    f"{path}: the header promises {times(shape)} voxels, more than the file can hold; copy it again"
                )
            array = unpacked(stream, dtype, shape)
    except DAMAGE as error:
        raise _damaged(path, reason_of(error, 150)) from error
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused below
        affine = np.asarray(header.get_affine(), np.float64)
    check_affine(affine, path)
    # Without this flag nibabel and FreeSurfer take 1 mm and coronal slices.
    is_told = int.from_bytes(start[28:30], "big") != 0
    notes = () if is_told else ("beware: its header tells neither spacing nor orientation, so that is a guess",)
    return Stored(array.astype(dtype.newbyteorder("=")), affine, nifti_header(affine, shape[:3]), notes)


def _voxels(path: Path, header: MGHHeader) -> tuple[tuple[int, ...], np.dtype]:
    """The sides, of several volumes four, and the type."""
    sides = tuple(int(side) for side in header["dims"])
    code = _TYPES.get(int(header["type"]))
    if int(header["version"]) != 1 or min(sides) < 1 or math.prod(sides) > _MOST_VOXELS or code is None:
        raise _damaged(path, "a header that is none")
    return sides if sides[3] > 1 else sides[:3], np.dtype(code)


def _damaged(path: Path, why: str) -> DataError:
    return DataError(f"{path}: cut off, damaged or no FreeSurfer volume ({why}); copy it again")
