"""How large the patches of a network are along each axis, for scans whose slices are thicker than their voxels wide.

The axes (D, H, W) of the network's grid run along (x, y, z), so that slices lie along W.
"""

import math
from typing import NamedTuple


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

    >>> patch_for((1.5, 1.5, 10.0), (96, 96, 12)).size
    (16, 16, 2)
    >>> patch_for((1.0, 1.0, 1.0), (40, 56, 40)).size
    (8, 8, 8)
    >>> print(patch_for((0.8, 0.8, 3.0), (160, 160, 32)).reason)
    patches of 16 x 16 x 4 voxels are 12.8 x 12.8 x 12 mm, about as long along each axis
    """
    most = [min(side & -side, largest) for side in window]
    length = min(side * mm for side, mm in zip(most, spacing, strict=True) if mm == min(spacing))
    wanted = tuple(2 ** max(round(math.log2(length / mm)), 0) for mm in spacing)
    size = tuple(map(min, wanted, most))
    return PatchChoice(size, _reason(size, spacing, wanted, window))


def _reason(size: tuple[int, ...], spacing: tuple[float, ...], wanted: tuple[int, ...], window: tuple[int, ...]) -> str:
    lengths = tuple(side * mm for side, mm in zip(size, spacing, strict=True))
    measured = f"patches of {_by(size)} voxels are {_by(lengths)} mm"
    if size != wanted:
        return f"{measured}; the {_by(wanted)} that would be as long along each axis do not divide {_by(window)}"
    return f"{measured}, about as long along each axis"


def _by(values: tuple[float, ...]) -> str:
    return " x ".join(f"{value:.3g}" for value in values)
