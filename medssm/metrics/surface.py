"""Distances between the surfaces of two masks, on the surface elements of marching cubes and marching squares."""

import itertools

import numpy as np
from scipy.spatial import KDTree

# A distance that is the tolerance but for rounding is within it.
_ROUNDING = 1e-6


def surface_agreement(
    prediction: np.ndarray, reference: np.ndarray, axes: np.ndarray, tolerance: float
) -> tuple[float, float]:
    """HD95 in mm and surface Dice of two masks that are both not empty.

    Surfaces are the area-weighted elements between voxels (between pixels their contours, weighted by length), measured
    in mm whatever the angles of the grid are. HD95 is the larger of the two directed 95th percentiles; surface Dice is
    the share of both surfaces that lies within the tolerance of the other. What the scan cuts off is closed at the cut.

    Args:
        prediction, reference: boolean, (X, Y, Z), or (X, Y) for one slice, or (X,) for one row.
        axes: (3, D), in its columns the steps in mm from voxel to voxel along the D axes of the masks.
        tolerance: in mm.

    Source: Nikolov et al. 2018, arXiv:1809.04430, section 4 (surface Dice and area-weighted distances).
    """
    (ours, our_areas), (theirs, their_areas) = (_elements(mask, axes) for mask in (prediction, reference))
    sides = (
        (KDTree(theirs, leafsize=32).query(ours)[0], our_areas),
        (KDTree(ours, leafsize=32).query(theirs)[0], their_areas),
    )
    hd95 = max(_percentile(*side) for side in sides)
    within = sum(float(areas[distances <= tolerance + _ROUNDING].sum()) for distances, areas in sides)
    return hd95, within / sum(float(areas.sum()) for _, areas in sides)


def _elements(mask: np.ndarray, axes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places (N, 3) in mm and areas (N,) in mm^2 (lengths in mm of a contour) of a mask's surface elements.

    An element lies among 2^D voxels of which some are in the mask; the number of the element says which ones.
    """
    dimensions = mask.ndim
    codes = np.zeros(np.add(mask.shape, 1), np.uint8)
    inside = np.pad(mask, 1).view(np.uint8)
    for bit, corner in enumerate(itertools.product((1, 0), repeat=dimensions)):
        part = tuple(slice(offset, offset + size) for offset, size in zip(corner, codes.shape, strict=True))
        codes |= inside[part] << np.uint8(bit)
    found = np.nonzero((codes != 0) & (codes != (1 << (1 << dimensions)) - 1))
    return np.transpose(found) @ axes.T, _areas(axes)[codes[found]]


def _areas(axes: np.ndarray) -> np.ndarray:
    """The area of every element, by its number: bit 0 is the voxel with all indices the larger, as in MONAI."""
    if axes.shape[1] == 3:
        from monai.metrics.utils import _get_neighbour_code_to_normals_table

        # Under a linear map an area's normal turns by its cofactors; MONAI's own table knows right angles only.
        cofactors = np.linalg.det(axes) * np.linalg.inv(axes).T
        normals = np.asarray(_get_neighbour_code_to_normals_table(), dtype=float)
        return np.linalg.norm(normals @ cofactors.T, axis=-1).sum(axis=-1)
    if axes.shape[1] == 1:
        return np.array([0.0, 1.0, 1.0, 0.0])
    first, second = axes.T
    across, down, falling, rising = map(np.linalg.norm, (first, second, (first - second) / 2, (first + second) / 2))
    half = [0.0, falling, rising, down, rising, across, 2 * rising, falling]
    half_of_others = [falling, 2 * falling, across, rising, down, rising, falling, 0.0]
    return np.array(half + half_of_others)


def _percentile(distances: np.ndarray, areas: np.ndarray, percent: float = 95.0) -> float:
    """The distance that `percent` of the surface's area does not exceed."""
    order = np.argsort(distances)
    covered = np.cumsum(areas[order]) / areas.sum()
    index = min(int(np.searchsorted(covered, percent / 100)), len(order) - 1)
    return float(distances[order][index])
