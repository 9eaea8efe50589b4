"""Scans made small enough for a page, without moving anything: every array keeps an affine that is true for it."""

from typing import NamedTuple

import numpy as np

from medssm.data.scans.geometry import spacing_of

Factors = tuple[int, int, int]

# Axes whose voxels are this near in size are reduced together.
_SAME_SIZE = 1.05


class PlacedArray(NamedTuple):
    """Voxels and where they lie.

    Attributes:
        array: (X, Y, Z).
        affine: (4, 4) voxel indices to RAS+ mm.
    """

    array: np.ndarray
    affine: np.ndarray


def reduction_factors(shape: tuple[int, ...], affine: np.ndarray, most_voxels: int) -> Factors:
    """How many voxels along (X, Y, Z) become one so that no more than `most_voxels` are left.

    The axes with the smallest voxels give way first, so that voxels become more alike in size.

    >>> reduction_factors((512, 512, 100), np.diag([0.7, 0.7, 5, 1]), 10_000_000)
    (2, 2, 1)
    """
    factors = np.ones(3, dtype=int)
    spacing = np.array(spacing_of(affine))
    while np.prod(np.ceil(shape / factors)) > most_voxels:
        size = np.where(np.ceil(shape / factors) > 1, spacing * factors, np.inf)
        factors[size <= size.min() * _SAME_SIZE] += 1
    x, y, z = factors.tolist()
    return x, y, z


def reduced_image(image: PlacedArray, factors: Factors) -> PlacedArray:
    """The means of blocks of voxels, each at its block's centre, rounded where the scan has whole numbers.

    A block that the array cuts off is filled with the edge's voxels; one with a voxel that is no number has no mean.

    Returns: float32 or int32 means, or the array as it is where every factor is 1.
    """
    if factors == (1, 1, 1):
        return image
    padding = [(0, -size % factor) for size, factor in zip(image.array.shape, factors, strict=True)]
    x, y, z = (-(-size // factor) for size, factor in zip(image.array.shape, factors, strict=True))
    means = np.empty((x, y, z), dtype=np.float32)
    for k in range(z):
        planes = np.arange(k * factors[2], (k + 1) * factors[2]).clip(max=image.array.shape[2] - 1)
        slab = np.pad(image.array[:, :, planes].astype(np.float32), [*padding[:2], (0, 0)], mode="edge")
        means[:, :, k] = slab.reshape(x, factors[0], y, factors[1], factors[2]).mean(axis=(1, 3, 4))
    rounded = means if image.array.dtype.kind == "f" else np.rint(means).astype(np.int32)
    return PlacedArray(rounded, image.affine @ _step(factors, [(factor - 1) / 2 for factor in factors]))


def reduced_labels(labels: PlacedArray, factors: Factors) -> PlacedArray:
    """One voxel out of every block, that at its middle (the upper of two middles), where it lies.

    A block that the array cuts off before its middle gives its last voxel, drawn where the middle would be.
    """
    offsets = [factor // 2 for factor in factors]
    picks = [
        (np.arange(-(-size // factor)) * factor + factor // 2).clip(max=size - 1)
        for size, factor in zip(labels.array.shape, factors, strict=True)
    ]
    return PlacedArray(labels.array[np.ix_(*picks)], labels.affine @ _step(factors, offsets))


def cropped_to_labels(labels: PlacedArray) -> PlacedArray:
    """The part that holds labels, with a voxel of background around it; everything where there is no label."""
    box = []
    for axis, size in enumerate(labels.array.shape):
        others = tuple(a for a in range(3) if a != axis)
        hit = np.flatnonzero(labels.array.any(axis=others))
        if len(hit) == 0:
            return labels
        box.append(slice(max(int(hit[0]) - 1, 0), min(int(hit[-1]) + 2, size)))
    return PlacedArray(labels.array[tuple(box)], labels.affine @ _step((1, 1, 1), [part.start for part in box]))


def _step(factors: Factors, offsets: list[float] | list[int]) -> np.ndarray:
    """(4, 4) from indices of the small grid to those of the large one."""
    step = np.diag([*factors, 1.0])
    step[:3, 3] = offsets
    return step
