"""Slices in order and their affine, or one sentence why they make no grid."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from medssm.data.scans.formats.dicom.headers import SliceHeader
from medssm.data.scans.geometry import RAS_LPS, check_affine
from medssm.errors import GeometryError

# Two slices nearer than this (mm) lie in the same place.
SAME_PLACE = 1e-3

# How far a slice may lie from its place in an even stack: a share of the step, or what rounding to 0.1 mm does.
_UNEVEN_SHARE, _UNEVEN_ROUNDING = 0.05, 0.06

# A stack that drifts sideways by less than this (mm) in all is upright and its positions were rounded.
_DRIFT = 0.1


def ordered(slices: Sequence[SliceHeader], folder: Path) -> list[SliceHeader]:
    """The slices along their common normal, lowest first.

    Raises: GeometryError if they differ in shape, orientation or pixel size, or lack the last.
    """
    first = slices[0]
    if first.pixel_spacing is None:
        raise GeometryError(f"{first.path}: no PixelSpacing, so the voxel size is unknown; export the series again")
    for word, of in _FEATURES.items():
        kinds = Counter(of(header) for header in slices)
        if len(kinds) > 1:
            counts = ", ".join(f"{count} of {kind}" for kind, count in kinds.most_common(4))
            raise GeometryError(f"{folder}: the slices differ in {word} ({counts}); give a folder with one even series")
    _check_axes(first)
    normal = normal_of(first)
    return sorted(slices, key=lambda header: float(position_of(header) @ normal))


def position_of(header: SliceHeader) -> np.ndarray:
    """Position (3,) of a slice in LPS+ mm.

    Raises: GeometryError if it has none.
    """
    if header.position is None:
        raise GeometryError(f"{header.path}: has no ImagePositionPatient, so it lies nowhere; export it again")
    return header.position


def normal_of(header: SliceHeader) -> np.ndarray:
    """Unit normal (3,) of a slice in LPS+: the column direction crossed with the row direction."""
    normal = np.cross(*header.directions)
    return normal / np.linalg.norm(normal)


def same_place(a: SliceHeader, b: SliceHeader) -> bool:
    """Whether two parallel slices lie in the same place."""
    return bool(np.linalg.norm(position_of(a) - position_of(b)) < SAME_PLACE)


def affine_of(slices: Sequence[SliceHeader], folder: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    """RAS+ affine (4, 4) of ordered slices without duplicates, and a note if it is sheared or a thickness was believed.

    A tilted gantry moves each slice sideways: the affine is sheared then, and exact.

    Raises: GeometryError if slices are missing or unevenly spaced.
    """
    first = slices[0]
    step, notes = _step(slices, folder)
    lps = np.eye(4)
    lps[:3, :3] = np.column_stack((*(first.directions * np.array(first.pixel_spacing)[:, None]), step))
    lps[:3, 3] = position_of(first)
    affine = RAS_LPS @ lps
    check_affine(affine, folder)
    return affine, notes


def _step(slices: Sequence[SliceHeader], folder: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    """Vector from a slice to the next, LPS+ mm, with notes."""
    normal = normal_of(slices[0])
    if len(slices) == 1:
        return _step_of_one(slices[0], normal, folder)
    positions = np.array([position_of(header) for header in slices])
    _check_even(slices, positions @ normal, folder)
    step = (positions[-1] - positions[0]) / (len(slices) - 1)
    along = float(step @ normal)
    sideways = np.linalg.norm(step - along * normal) * (len(slices) - 1)
    _check_straight(positions, step, folder)
    if sideways < _DRIFT:
        return along * normal, ()
    angle = np.degrees(np.arccos(along / np.linalg.norm(step)))
    return step, (
        f"{folder}: the gantry was tilted by {angle:.1f} degrees, so the grid and its affine are sheared; the output "
        "has the same shear, which nibabel reads and ITK-based programs refuse",
    )


def _step_of_one(only: SliceHeader, normal: np.ndarray, folder: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    if only.thickness <= 0:
        raise GeometryError(f"{folder}: a single slice without a thickness has no volume; give the whole series")
    note = f"{folder}: a single slice; its thickness of {only.thickness:g} mm was taken as the spacing"
    return only.thickness * normal, (note,)


def _check_even(slices: Sequence[SliceHeader], heights: np.ndarray, folder: Path) -> None:
    steps = np.diff(heights)
    smallest = steps.min()
    if steps.max() < 1.5 * smallest:
        return
    missing = np.round(steps / smallest).astype(int) - 1
    if np.abs(steps - (missing + 1) * smallest).max() > 0.1 * smallest + _UNEVEN_ROUNDING:
        raise _uneven(folder, steps)
    where = int(steps.argmax())
    count = int(missing.sum())
    raise GeometryError(
        f"{folder}: {count} slice{'s are' if count > 1 else ' is'} missing from {len(slices) + count}, first between "
        f"{slices[where].path.name} and {slices[where + 1].path.name} ({steps[where]:g} mm apart instead of "
        f"{smallest:g}); copy or export the series again"
    )


def _check_straight(positions: np.ndarray, step: np.ndarray, folder: Path) -> None:
    expected = positions[0] + np.arange(len(positions))[:, None] * step
    off = np.linalg.norm(positions - expected, axis=1)
    if off.max() > max(_UNEVEN_SHARE * float(np.linalg.norm(step)), _UNEVEN_ROUNDING):
        raise _uneven(folder, np.linalg.norm(np.diff(positions, axis=0), axis=1))


def _uneven(folder: Path, steps: np.ndarray) -> GeometryError:
    return GeometryError(
        f"{folder}: the slices are unevenly spaced ({steps.min():g} to {steps.max():g} mm apart), which no affine "
        "can say; resample the series to even spacing or give an even one"
    )


def _check_axes(first: SliceHeader) -> None:
    if np.abs(first.directions @ first.directions.T - np.eye(2)).max() > 1e-3:
        raise GeometryError(f"{first.path}: ImageOrientationPatient is no pair of unit axes; export the series again")


def _size(header: SliceHeader) -> str:
    return f"{header.shape[1]}x{header.shape[0]} pixels"


def _orientation(header: SliceHeader) -> str:
    return "axes (" + ", ".join(f"{value + 0.0:.3f}" for value in np.round(header.directions, 3).ravel()) + ")"


def _pixel_size(header: SliceHeader) -> str:
    return " x ".join(f"{size:.5g}" for size in header.pixel_spacing or ()) + " mm"


_FEATURES = {"shape": _size, "orientation": _orientation, "pixel size": _pixel_size}
