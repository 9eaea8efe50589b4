"""How large the patches of a network are along each axis, for scans whose slices are thicker than their voxels wide."""

import math
from typing import NamedTuple

from medssm.data.scans.geometry import reverse_order


class PatchChoice(NamedTuple):
    """Sides (D, H, W) of a patch in voxels, and why."""

    size: tuple[int, ...]
    reason: str


def patch_for(spacing: tuple[float, ...], window: tuple[int, ...], largest: int = 16) -> PatchChoice:
    """The patch that is about as long along each axis in mm, and that the window is a multiple of.

    Its sides are powers of two: along the axis of the smallest voxels the largest one, along the others the one that
    comes nearest to the same length, less where the window asks for it.

    Args:
        spacing: (x, y, z) in mm. window: (D, H, W) in voxels. largest: side of a patch, a power of two.

    >>> patch_for((1.5, 1.5, 10.0), (12, 96, 96)).size
    (2, 16, 16)
    >>> patch_for((1.0, 1.0, 1.0), (40, 56, 40)).size
    (8, 8, 8)
    >>> print(patch_for((0.8, 0.8, 3.0), (32, 160, 160)).reason)
    patches of 4 x 16 x 16 voxels are 12 x 12.8 x 12.8 mm, about as long along each axis
    """
    voxel = reverse_order(spacing)
    most = [min(side & -side, largest) for side in window]
    finest = min(range(len(voxel)), key=lambda axis: voxel[axis])
    length = most[finest] * voxel[finest]
    wanted = tuple(2 ** max(round(math.log2(length / mm)), 0) for mm in voxel)
    size = tuple(map(min, wanted, most))
    return PatchChoice(size, _reason(size, voxel, wanted, window))


def _reason(size: tuple[int, ...], voxel: tuple[float, ...], wanted: tuple[int, ...], window: tuple[int, ...]) -> str:
    lengths = tuple(side * mm for side, mm in zip(size, voxel, strict=True))
    measured = f"patches of {_by(size)} voxels are {_by(lengths)} mm"
    if size != wanted:
        return f"{measured}; the {_by(wanted)} that would be as long along each axis do not divide {_by(window)}"
    return f"{measured}, about as long along each axis"


def _by(values: tuple[float, ...]) -> str:
    return " x ".join(f"{value:.3g}" for value in values)
