"""The voxels of a DICOM series, slice by slice through GDCM (compressed transfer syntaxes included)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from medssm.data.scans.formats import Stored
from medssm.data.scans.formats.dicom.files import dicom_files
from medssm.data.scans.formats.dicom.grid import affine_of, ordered, same_place
from medssm.data.scans.formats.dicom.headers import SliceHeader, read_headers
from medssm.data.scans.formats.dicom.series import choose_series, series_of
from medssm.data.scans.formats.nifti import nifti_header
from medssm.data.scans.geometry import reverse_order
from medssm.errors import DataError, GeometryError


def read_dicom(path: Path) -> Stored:
    """Voxels (X, Y, Z) in rescaled units (HU for CT), RAS+ affine in mm, and notes; as header one of NIfTI.

    Args:
        path: a folder, in which one series must be the scan; or a file, whose series is read from its folder.

    Each slice is rescaled by its own slope and intercept. X runs along the columns' index, Y along the rows', Z along
    the slices' normal.
    Raises: DataError if the scan cannot be told or read; GeometryError if its slices make no even grid.
    """
    folder = path if path.is_dir() else path.parent
    headers, others = read_headers(dicom_files(folder))
    if path.is_dir() or path.name.upper() == "DICOMDIR":
        slices, notes = choose_series(headers, folder)
    else:
        slices, notes = series_of(path, headers)
    if others:
        notes += (f"{folder}: ignored {len(others)} DICOM files that hold no image, such as {others[0].name}",)
    unique, repeated = _without_repeats(ordered(slices, folder), folder)
    affine, told = affine_of(unique, folder)
    array = _voxels(unique)
    return Stored(array, affine, nifti_header(affine, array.shape), notes + repeated + told)


def _without_repeats(slices: Sequence[SliceHeader], folder: Path) -> tuple[list[SliceHeader], tuple[str, ...]]:
    """The slices without exact copies.

    Raises: GeometryError if two different images lie in the same place.
    """
    unique = [slices[0]]
    for header in slices[1:]:
        if not same_place(header, unique[-1]):
            unique.append(header)
        elif not np.array_equal(_pixels(header.path), _pixels(unique[-1].path)):
            raise GeometryError(
                f"{folder}: different images lie in the same place, such as {unique[-1].path.name} and "
                f"{header.path.name} "
                "(several phases, echoes or reconstructions); give a folder with one of them"
            )
    dropped = len(slices) - len(unique)
    return unique, (f"{folder}: dropped {dropped} exact copies of slices",) if dropped else ()


def _voxels(slices: Sequence[SliceHeader]) -> np.ndarray:
    """The stack in int16 as long as that holds it, then in what the slices need."""
    rows, columns = slices[0].shape
    stack = np.empty((columns, rows, len(slices)), np.int16, order="F")
    for k, header in enumerate(slices):
        pixels = reverse_order(_pixels(header.path))
        needed = np.promote_types(stack.dtype, _type_for(pixels))
        if needed != stack.dtype:
            stack = stack.astype(needed, order="F")
        stack[..., k] = pixels
    return stack


def _type_for(pixels: np.ndarray) -> np.dtype:
    """int16 or int32 for whole numbers, float32 for the rest."""
    if pixels.dtype.kind == "f":
        return np.dtype(np.float32)
    bounds = np.iinfo(np.int16)
    fits = pixels.min() >= bounds.min and pixels.max() <= bounds.max
    return np.dtype(np.int16 if fits else np.int32)


def _pixels(path: Path) -> np.ndarray:
    """(rows, columns) of a slice, rescaled.

    Raises: DataError if they cannot be decoded.
    """
    try:
        return sitk.GetArrayFromImage(sitk.ReadImage(str(path), imageIO="GDCMImageIO")).squeeze(axis=0)
    except RuntimeError as error:
        raise DataError(f"{path}: the pixels of this slice cannot be decoded; export the series again") from error
