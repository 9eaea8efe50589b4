"""Slices in order and their affine, or one sentence why they make no grid."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

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

# When gaps are filled: how far (mm) a slice may lie from the line through the first and the last; how many planes may
# come of a slice; and how near (in slices) a plane lies to a slice that it is.
_OFF_THE_LINE, _MOST_FILLED, _SAME_PLANE = 1.0, 4, 0.05


def ordered(slices: Sequence[SliceHeader]) -> list[SliceHeader]:
    """The slices of one stack along their common normal, lowest first.

    Raises: GeometryError if they lack the size of a pixel, or axes.
    """
    first = slices[0]
    if first.pixel_spacing is None:
        raise GeometryError(f"{first.path}: no PixelSpacing, so the voxel size is unknown; export the series again")
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


class SliceGrid(NamedTuple):
    """Where the voxels of ordered slices lie.

    Attributes:
        affine: (4, 4), RAS+ mm.
        places: (Z,) where in the stack of slices each plane lies, between two of them where it has none of its own;
            None where the planes are the slices.
        notes: what a user should know.
    """

    affine: np.ndarray
    places: np.ndarray | None
    notes: tuple[str, ...]


def grid_of(slices: Sequence[SliceHeader], folder: Path, fill_gaps: bool = False) -> SliceGrid:
    """The grid of ordered slices without duplicates, with a note if it is sheared or a thickness was believed.

    A tilted gantry moves each slice sideways: the affine is sheared then, and exact.

    Args:
        fill_gaps: lay an even grid through slices of which some are missing or that are unevenly spaced.

    Raises: GeometryError if slices are missing or unevenly spaced and gaps are not filled, or no grid can be laid.
    """
    first = slices[0]
    normal = normal_of(first)
    places: np.ndarray | None = None
    filled: tuple[str, ...] = ()
    positions = np.array([position_of(header) for header in slices])
    if len(slices) == 1:
        step, notes = _step_of_one(first, normal, folder)
    else:
        if fault := _unevenness(slices, positions, normal):
            if not fill_gaps:
                raise GeometryError(
                    f"{folder}: {fault}; copy or export the series again (--fill-gaps of predict and view resamples it)"
                )
            places, filled = _even_places(positions, normal, folder, fault)
        step, notes = _step(positions, len(slices) if places is None else len(places), normal, folder)
    lps = np.eye(4)
    lps[:3, :3] = np.column_stack((*(first.directions * np.array(first.pixel_spacing)[:, None]), step))
    lps[:3, 3] = position_of(first)
    affine = RAS_LPS @ lps
    check_affine(affine, folder)
    return SliceGrid(affine, places, (*filled, *notes))


def _step(positions: np.ndarray, count: int, normal: np.ndarray, folder: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    """Vector from a plane to the next of `count` ones, LPS+ mm, with notes."""
    step = (positions[-1] - positions[0]) / (count - 1)
    along = float(step @ normal)
    sideways = np.linalg.norm(step - along * normal) * (count - 1)
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


def _unevenness(slices: Sequence[SliceHeader], positions: np.ndarray, normal: np.ndarray) -> str:
    """Why slices make no even grid, in words; nothing if they do."""
    steps = np.diff(positions @ normal)
    missing = _missing(steps)
    if missing is None:
        return _uneven(steps)
    if count := int(missing.sum()):
        where = int(steps.argmax())
        return (
            f"{count} slice{'s are' if count > 1 else ' is'} missing from {len(slices) + count}, first between "
            f"{slices[where].name} and {slices[where + 1].name} ({steps[where]:g} mm apart instead of {steps.min():g})"
        )
    even = positions[0] + np.linspace(0, 1, len(positions))[:, None] * (positions[-1] - positions[0])
    step = float(np.linalg.norm(even[1] - even[0]))
    if np.linalg.norm(positions - even, axis=1).max() > max(_UNEVEN_SHARE * step, _UNEVEN_ROUNDING):
        return _uneven(np.linalg.norm(np.diff(positions, axis=0), axis=1))
    return ""


def _missing(steps: np.ndarray) -> np.ndarray | None:
    """How many slices are missing in each step, as all are multiples of the smallest; None if they are not."""
    smallest = steps.min()
    missing = np.round(steps / smallest).astype(int) - 1
    if steps.max() < 1.5 * smallest:
        return np.zeros_like(missing)
    is_multiple = np.abs(steps - (missing + 1) * smallest).max() <= 0.1 * smallest + _UNEVEN_ROUNDING
    return missing if is_multiple else None


def _even_places(
    positions: np.ndarray, normal: np.ndarray, folder: Path, fault: str
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Where in the stack the planes of an even grid lie, from its first to its last slice, and what was done.

    The planes are as far apart as the nearest slices where the others are missing, else as most slices are.

    Raises: GeometryError if the slices do not lie on a line, or too many are missing.
    """
    heights = (positions - positions[0]) @ normal
    line = heights[:, None] / heights[-1] * (positions[-1] - positions[0])
    if np.linalg.norm(positions - positions[0] - line, axis=1).max() > _OFF_THE_LINE:
        raise GeometryError(f"{folder}: the slices do not lie one above the other, so no gap can be filled")
    steps = np.diff(heights)
    missing = _missing(steps)
    step = float(np.median(steps)) if missing is None else heights[-1] / (missing + 1).sum()
    count = round(heights[-1] / step) + 1
    if count > _MOST_FILLED * len(positions):
        raise GeometryError(
            f"{folder}: {fault}, and an even grid of {step:g} mm would be {count} planes for {len(positions)} slices; "
            "export the series again"
        )
    places = np.interp(np.linspace(0, heights[-1], count), heights, np.arange(len(heights)))
    nearest = np.round(places)
    places = np.where(np.abs(places - nearest) < _SAME_PLANE, nearest, places)
    return places, (
        f"{folder}: {fault}; all gaps, of which the widest is {steps.max():g} mm, were filled by linear interpolation "
        f"onto {count} planes {heights[-1] / (count - 1):g} mm apart",
    )


def _uneven(steps: np.ndarray) -> str:
    return f"the slices are unevenly spaced ({steps.min():g} to {steps.max():g} mm apart), which no affine can say"


def _check_axes(first: SliceHeader) -> None:
    if np.abs(first.directions @ first.directions.T - np.eye(2)).max() > 1e-3:
        raise GeometryError(f"{first.path}: ImageOrientationPatient is no pair of unit axes; export the series again")
