"""The voxels of a DICOM series, slice by slice."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from medssm.data.scans.formats import Stored
from medssm.data.scans.formats.dicom.files import DicomFile, all_dicom_files, dicom_files
from medssm.data.scans.formats.dicom.grid import SliceGrid, grid_of, ordered, same_place
from medssm.data.scans.formats.dicom.headers import SliceHeader, read_headers
from medssm.data.scans.formats.dicom.pixels import read_pixels
from medssm.data.scans.formats.dicom.series import choose_series, series_of
from medssm.data.scans.formats.dicom.split import unread_series
from medssm.data.scans.formats.nifti import nifti_header
from medssm.data.scans.formats.voxels import times
from medssm.data.scans.geometry import reverse_order
from medssm.errors import GeometryError

# NIfTI, as which a label map is written, counts voxels of an axis in 16 bits.
_MOST_ALONG_AN_AXIS = 32767


def read_dicom(path: Path, fill_gaps: bool = False) -> Stored:
    """Voxels (X, Y, Z) in rescaled units (HU for CT), RAS+ affine in mm, and notes; as header one of NIfTI.

    Args:
        path: a folder, in which one series must be the scan; or a file, whose series is read from its folder.
        fill_gaps: lay an even grid through slices of which some are missing or that are unevenly spaced.

    Each slice is rescaled by its own slope and intercept. X runs along the columns' index, Y along the rows', Z along
    the slices' normal.
    Raises: DataError if the scan cannot be told or read; GeometryError if its slices make no even grid.
    """
    folder = path if path.is_dir() else path.parent
    contents = read_headers(map(DicomFile.on_disk, dicom_files(folder)))
    if path.is_dir() and not contents.headers and not contents.damaged:
        contents = read_headers(map(DicomFile.on_disk, all_dicom_files(folder)))
    if path.is_dir() or path.name.upper() == "DICOMDIR":
        slices, notes = choose_series(contents, folder)
    else:
        slices, notes = series_of(path, contents)
    if unread := unread_series(slices[0], folder):
        notes += (f"{folder}: {unread}",)
    return read_stack(slices, folder, notes, fill_gaps)


def read_stack(slices: Sequence[SliceHeader], folder: Path, notes: tuple[str, ...], fill_gaps: bool) -> Stored:
    """The volume of chosen slices of a folder, which `notes` are of.

    Raises: DataError if a slice cannot be decoded; GeometryError if they make no even grid.
    """
    unique, repeated = _without_repeats(ordered(slices), folder)
    grid = grid_of(unique, folder, fill_gaps)
    _check_size(unique, grid, folder)
    array = _between(_voxels(unique), grid.places)
    header = nifti_header(grid.affine, array.shape)
    return Stored(array, grid.affine, header, (*notes, *repeated, *grid.notes), unique[0].modality)


def _without_repeats(slices: Sequence[SliceHeader], folder: Path) -> tuple[list[SliceHeader], tuple[str, ...]]:
    """The slices without exact copies.

    Raises: GeometryError if two different images lie in the same place.
    """
    unique = [slices[0]]
    for header in slices[1:]:
        if not same_place(header, unique[-1]):
            unique.append(header)
        elif not np.array_equal(read_pixels(header), read_pixels(unique[-1])):
            raise GeometryError(
                f"{folder}: different images lie in the same place, such as {unique[-1].name} and {header.name} "
                "(several phases, echoes or reconstructions); give a folder with one of them"
            )
    dropped = len(slices) - len(unique)
    return unique, (f"{folder}: dropped {dropped} exact copies of slices",) if dropped else ()


def _check_size(slices: Sequence[SliceHeader], grid: SliceGrid, folder: Path) -> None:
    count = len(slices) if grid.places is None else len(grid.places)
    shape = (*reverse_order(slices[0].shape), count)
    if max(shape) > _MOST_ALONG_AN_AXIS:
        raise GeometryError(f"{folder}: {times(shape)} voxels are more than a label map can hold; give a smaller scan")


def _voxels(slices: Sequence[SliceHeader]) -> np.ndarray:
    """The stack in int16 as long as that holds it, then in what the slices need."""
    rows, columns = slices[0].shape
    stack = np.empty((columns, rows, len(slices)), np.int16, order="F")
    for k, header in enumerate(slices):
        pixels = reverse_order(read_pixels(header))
        needed = np.promote_types(stack.dtype, _type_for(pixels))
        if needed != stack.dtype:
            stack = stack.astype(needed, order="F")
        stack[..., k] = pixels
    return stack


def _type_for(pixels: np.ndarray) -> np.dtype:
    """int16 or int32 for whole numbers that these hold, float32 for the rest."""
    if pixels.dtype.kind != "f":
        for kind in (np.int16, np.int32):
            bounds = np.iinfo(kind)
            if pixels.min() >= bounds.min and pixels.max() <= bounds.max:
                return np.dtype(kind)
    return np.dtype(np.float32)


def _between(stack: np.ndarray, places: np.ndarray | None) -> np.ndarray:
    """The planes at places (Z,) of a stack (X, Y, slices), linear between two slices; whole numbers stay whole."""
    if places is None:
        return stack
    planes = np.empty((*stack.shape[:2], len(places)), stack.dtype, order="F")
    for k, place in enumerate(places):
        below, above = int(np.floor(place)), int(np.ceil(place))
        weight = place - below
        plane = (1 - weight) * stack[..., below].astype(np.float64) + weight * stack[..., above]
        planes[..., k] = plane if stack.dtype.kind == "f" else np.rint(plane)
    return planes
