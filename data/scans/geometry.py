"""Affines of volumes: spacing, orthogonality, the two patient frames, and the one place that reverses an order.

An affine takes voxel indices (i, j, k) of an (X, Y, Z) array to millimetres in the RAS+ frame (x to the right, y to
the front, z to the head), as NIfTI and nibabel have it. DICOM and ITK use LPS+: x and y point the other way.
"""

from collections.abc import Sequence
from typing import TypeVar, overload

import numpy as np

from medssm.errors import GeometryError

Number = TypeVar("Number", int, float)

# Multiplying by this turns RAS+ coordinates into LPS+ ones and back.
RAS_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])

# Two axes whose cosine is below this are orthogonal: float32 headers leave up to about 1e-6, a tilted gantry 1e-2.
ORTHOGONAL_COSINE = 1e-4

# Corners that lie this share of a voxel apart are rounding of a header, not another grid.
_SAME_GRID = 0.01


@overload
def reverse_order(values: np.ndarray) -> np.ndarray: ...
@overload
def reverse_order(values: Sequence[Number]) -> tuple[Number, ...]: ...
def reverse_order(values: np.ndarray | Sequence[Number]) -> np.ndarray | tuple[Number, ...]:
    """The same in the opposite axis order: (x, y, z) <-> (z, y, x); nothing else in the project reverses an order.

    Args:
        values: an array, whose axes are reversed as a view, or a sequence of one number per axis.

    >>> reverse_order((512, 512, 20))
    (20, 512, 512)
    >>> reverse_order(np.zeros((4, 3, 2))).shape
    (2, 3, 4)
    """
    return values.T if isinstance(values, np.ndarray) else tuple(values)[::-1]


def spacing_of(affine: np.ndarray) -> tuple[float, float, float]:
    """Voxel size (x, y, z) in mm: the lengths of the affine's columns.

    >>> spacing_of(np.diag([-1.5, 1.5, 2.0, 1.0]))
    (1.5, 1.5, 2.0)
    """
    x, y, z = np.sqrt((affine[:3, :3] ** 2).sum(axis=0)).tolist()
    return x, y, z


def voxel_volume(affine: np.ndarray) -> float:
    """Volume of a voxel in mm^3 by an affine (4, 4); of a sheared one, too, whose spacings' product is too much."""
    first, second, third = affine[:3, :3].T
    return abs(float(first @ np.cross(second, third)))  # exact where the axes are straight, as a determinant is not


def is_sheared(affine: np.ndarray) -> bool:
    """Whether two axes of the grid of an affine (4, 4) are not at right angles, as in a scan with a tilted gantry.

    >>> is_sheared(np.array([[1, 0, 0.3, 0], [0, 1, 0, 0], [0, 0, 2, 0], [0, 0, 0, 1.0]]))
    True
    """
    axes = affine[:3, :3] / np.array(spacing_of(affine))
    cosines = axes.T @ axes - np.eye(3)
    return bool(np.abs(cosines).max() > ORTHOGONAL_COSINE)


def grid_offset(shape: Sequence[int], first: np.ndarray, second: np.ndarray) -> float:
    """The farthest that two affines put the same voxel apart, in mm; it is at one of the grid's corners.

    Args:
        shape: (X, Y, Z) of both grids.

    >>> grid_offset((11, 1, 1), np.eye(4), np.diag([1.01, 1, 1, 1]))
    0.1
    """
    corners = np.stack(np.meshgrid(*([0, size - 1] for size in shape)), axis=-1).reshape(-1, 3)
    difference = (first - second)[:3]
    return round(float(np.linalg.norm(corners @ difference[:, :3].T + difference[:, 3], axis=1).max()), 9)


def is_same_grid(shape: Sequence[int], first: np.ndarray, second: np.ndarray) -> bool:
    """Whether two affines (4, 4) put every voxel in the same place, but for rounding: within a hundredth of a voxel."""
    return grid_offset(shape, first, second) <= _SAME_GRID * min(spacing_of(first))


def from_itk(spacing: Sequence[float], direction: Sequence[float], origin: Sequence[float]) -> np.ndarray:
    """The RAS+ affine of an ITK image: spacing (x, y, z), 9 direction cosines by row, origin in LPS+ mm."""
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(direction, (3, 3)) * np.asarray(spacing)
    affine[:3, 3] = origin
    return RAS_LPS @ affine


def check_affine(affine: np.ndarray, source: object) -> None:
    """Raises GeometryError if the affine (4, 4) is none of a grid: not finite, a spacing of zero, or flat."""
    if affine.shape != (4, 4) or not np.isfinite(affine).all():
        raise GeometryError(f"{source}: the affine holds numbers that are not finite; correct the header")
    spacing = spacing_of(affine)
    shown = ", ".join(f"{size:g}" for size in spacing)
    if min(spacing) == 0:
        raise GeometryError(
            f"{source}: spacing ({shown}) mm has a zero; correct the header (medssm data check shows it)"
        )
    if voxel_volume(affine) < 1e-6 * np.prod(spacing):
        raise GeometryError(f"{source}: two axes of the affine are parallel (spacing ({shown}) mm); correct the header")
