"""nnU-Net's rule for kernels and strides, by the size of a window and of its voxels."""

from typing import NamedTuple

# Axes are not halved below so many voxels.
LEAST = 4


class Level(NamedTuple):
    """A level of a U-Net, axis by axis: its stride from the level above, and the kernel of its convolutions."""

    stride: tuple[int, ...]
    kernel: tuple[int, ...]


def unet_levels(window: tuple[int, ...], sides: tuple[float, ...], most: int) -> list[Level]:
    """The levels of a U-Net, from full resolution down.

    An axis is halved at a level if its voxels are less than twice as long there as the shortest ones, and if half as
    many of them are still LEAST; ours: and an even number. Kernels are 1 along an axis until its voxels are less than
    twice as long as the shortest.

    Args:
        window: in voxels along each axis. sides: of a voxel in mm, in the same order. most: levels, the first one among
            them.

    Source: Isensee et al. 2021, Nature Methods 18, 203, supplementary note 2; `get_pool_and_conv_props` of nnU-Net 2.

    >>> for level in unet_levels((12, 96, 96), (10.0, 1.5, 1.5), most=6): print(level.stride, level.kernel)
    (1, 1, 1) (1, 3, 3)
    (1, 2, 2) (1, 3, 3)
    (1, 2, 2) (3, 3, 3)
    (2, 2, 2) (3, 3, 3)
    (1, 2, 2) (3, 3, 3)
    """
    size, voxel = list(window), list(sides)
    kernel = _kernel(voxel, [1] * len(voxel))
    levels = [Level((1,) * len(size), tuple(kernel))]
    while len(levels) < most and (halved := _halved(size, voxel)):
        size = [n // 2 if axis in halved else n for axis, n in enumerate(size)]
        voxel = [2 * mm if axis in halved else mm for axis, mm in enumerate(voxel)]
        kernel = _kernel(voxel, kernel)
        levels.append(Level(tuple(2 if axis in halved else 1 for axis in range(len(size))), tuple(kernel)))
    return [*levels[:-1], levels[-1]._replace(kernel=(3,) * len(size))]


def _halved(size: list[int], voxel: list[float]) -> list[int]:
    """The axes that are halved next; none where that is the end."""
    large = [axis for axis, n in enumerate(size) if n >= 2 * LEAST and n % 2 == 0]
    shortest = min((voxel[axis] for axis in large), default=0.0)
    halved = [axis for axis in large if voxel[axis] < 2 * shortest]
    return [] if len(halved) == 1 and size[halved[0]] < 3 * LEAST else halved


def _kernel(voxel: list[float], above: list[int]) -> list[int]:
    return [3 if side == 3 or mm < 2 * min(voxel) else 1 for mm, side in zip(voxel, above, strict=True)]
