"""Smooth random fields: sums of B-splines on a lattice that is fixed in the patient, whatever the voxel grid."""

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import gaussian_filter

# The lattice covers a cube of this size in mm around the patient's origin.
EXTENT = 560.0


def smooth_field(rng: np.random.Generator, width: float, axes: Sequence[np.ndarray]) -> np.ndarray:
    """A smooth random field of about unit variance.

    Args:
        rng: draws the same numbers whatever the axes.
        width: distance of the lattice's nodes in mm, about the size of the field's bumps.
        axes: positions of the voxels along x, y and z in mm from the origin.

    Returns: (len(x), len(y), len(z)) float32.
    """
    count = int(np.ceil(EXTENT / width)) + 3
    nodes = rng.standard_normal((count, count, count)).astype(np.float32)
    x, y, z = (_b_spline_weights(positions / width + count / 2, count) for positions in axes)
    along_x = (x @ nodes.reshape(count, -1)).reshape(-1, count, count)
    return (y @ along_x) @ z.T


def correlated_noise(rng: np.random.Generator, shape: Sequence[int], correlation: Sequence[float]) -> np.ndarray:
    """Gaussian noise of a given shape and unit variance, blurred by `correlation` voxels per axis; float32."""
    noise = gaussian_filter(rng.standard_normal(shape, dtype=np.float32), correlation, mode="wrap", truncate=3.0)
    return noise / noise.std()


def _b_spline_weights(at: np.ndarray, count: int) -> np.ndarray:
    """(len(at), count) weights of a cubic B-spline's nodes, scaled so that random nodes give unit variance."""
    away = np.abs(at[:, None] - np.arange(count)[None])
    near = 2 / 3 - away**2 + away**3 / 2
    far = np.clip(2 - away, 0, None) ** 3 / 6
    weights = np.where(away < 1, near, far)
    return (weights / np.sqrt((weights**2).sum(axis=1, keepdims=True))).astype(np.float32)
