"""Distances between the surfaces of two masks, on MONAI's surface elements."""

import numpy as np
import torch
from monai.metrics.utils import get_edge_surface_distance


def surface_agreement(
    prediction: np.ndarray, reference: np.ndarray, spacing: tuple[float, float, float], tolerance: float
) -> tuple[float, float]:
    """HD95 in mm and surface Dice of two masks that are both not empty.

    Surfaces are the area-weighted elements between voxels. HD95 is the larger of the two directed 95th percentiles;
    surface Dice is the share of both surfaces that lies within the tolerance of the other.

    Args:
        prediction, reference: boolean, (X, Y, Z).
        spacing: voxel size (x, y, z) in mm.
        tolerance: in mm.

    Source: Nikolov et al. 2018, arXiv:1809.04430, section 4 (surface Dice and area-weighted distances).
    """
    edges, distances, areas = get_edge_surface_distance(
        torch.from_numpy(prediction), torch.from_numpy(reference), spacing=spacing, use_subvoxels=True, symmetric=True
    )
    distances_of = [np.asarray(distance, dtype=float) for distance in distances]
    areas_of = [np.asarray(area[edge], dtype=float) for area, edge in zip(areas, edges, strict=True)]
    hd95 = max(_percentile(*side) for side in zip(distances_of, areas_of, strict=True))
    within = sum(float(a[d <= tolerance].sum()) for d, a in zip(distances_of, areas_of, strict=True))
    return hd95, within / sum(float(area.sum()) for area in areas_of)


def _percentile(distances: np.ndarray, areas: np.ndarray, percent: float = 95.0) -> float:
    """The distance that `percent` of the surface's area does not exceed."""
    order = np.argsort(distances)
    covered = np.cumsum(areas[order]) / areas.sum()
    index = min(int(np.searchsorted(covered, percent / 100)), len(order) - 1)
    return float(distances[order][index])
