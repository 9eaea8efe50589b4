"""Separable resampling from one voxel grid to another along the same axes.

A grid of output spacing s_out is laid over one of spacing s_in so that the centres of the two first voxels coincide:
output voxel i of an axis lies at input position i * s_out / s_in. Positions beyond the last voxel take its value.
That is the grid of MONAI's `Spacing` with its defaults, whose trilinear interpolation equals three linear ones in a
row; a scan needs no coordinate per voxel this way, and memory stays at a few planes beyond input and output.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

Triple = tuple[float, float, float]
Box = tuple[slice, slice, slice]

# As in MONAI: a spacing this near to the wanted one, in mm, is left as it is.
SPACING_TOLERANCE = 1e-3
PLANES_AT_ONCE = 16


class Neighbours(NamedTuple):
    """What linear interpolation along an axis needs; a sample is (1 - weight) * lower + weight * upper voxel.

    Attributes:
        below, above: (samples,) int64, ascending; the same voxel where a sample lies on one.
        weight: (samples,) float32, of the upper voxel.
    """

    below: Tensor
    above: Tensor
    weight: Tensor

    @property
    def span(self) -> slice:
        """The voxels that the samples need."""
        return slice(int(self.below[0]), int(self.above[-1]) + 1)

    @property
    def in_span(self) -> "Neighbours":
        """The same for an axis that was cut to the span."""
        return Neighbours(self.below - self.below[0], self.above - self.below[0], self.weight)

    def to(self, device: torch.device) -> "Neighbours":
        """The same on another device."""
        return Neighbours(*(part.to(device) for part in self))


def resampling_steps(spacing: Triple, target: Triple) -> Triple:
    """Step of the target grid in voxels of the source grid, per axis; exactly 1 where the spacings agree."""
    x, y, z = (1.0 if abs(s - t) <= SPACING_TOLERANCE else t / s for s, t in zip(spacing, target, strict=True))
    return x, y, z


def resampled_shape(shape: tuple[int, ...], steps: Triple) -> tuple[int, int, int]:
    """Number of voxels per axis that cover the source grid from its first voxel's centre to about its last's."""
    x, y, z = (int(np.round((size - 1) / step + 1)) for size, step in zip(shape, steps, strict=True))
    return x, y, z


def resample_linear(array: np.ndarray, steps: Triple, box: Box | None = None) -> Tensor:
    """Trilinear samples of an array at multiples of `steps`, edge values outside.

    Args:
        array: (X, Y, Z), any real dtype and strides.
        steps: distance of neighbouring samples in voxels, one per axis (`resampling_steps`).
        box: the part of the samples to compute, which reads only the voxels it needs; everything if None.

    Returns: (X', Y', Z') float32.
    """
    box = box or (slice(None), slice(None), slice(None))
    shape = resampled_shape(array.shape, steps)
    wanted = [torch.arange(size, dtype=torch.float64)[part] for size, part in zip(shape, box, strict=True)]
    if steps == (1.0, 1.0, 1.0):
        return torch.from_numpy(np.array(array[box], dtype=np.float32, order="C"))
    out = torch.empty([len(samples) for samples in wanted], dtype=torch.float32)
    x, y, z = (neighbours(samples * step, n) for samples, step, n in zip(wanted, steps, array.shape, strict=True))
    cut = array[x.span, y.span]
    for start in range(0, len(out[0, 0]), PLANES_AT_ONCE):
        planes = slice(start, start + PLANES_AT_ONCE)
        slab = torch.lerp(_planes(cut, z.below[planes]), _planes(cut, z.above[planes]), z.weight[planes])
        out[:, :, planes] = interpolate(interpolate(slab, 0, x.in_span), 1, y.in_span)
    return out


def resample_nearest(labels: np.ndarray, steps: Triple) -> Tensor:
    """Nearest-neighbour samples of a label map at multiples of `steps`; halves go to the even voxel.

    Args:
        labels: (X, Y, Z) of any dtype that torch knows.

    Returns: (X', Y', Z') of the same dtype.
    """
    shape = resampled_shape(labels.shape, steps)
    picks = [
        np.clip(np.rint(np.arange(count) * step).astype(int), 0, size - 1)
        for size, count, step in zip(labels.shape, shape, steps, strict=True)
    ]
    return torch.from_numpy(np.ascontiguousarray(labels[np.ix_(*picks)]))


def _planes(array: np.ndarray, indices: Tensor) -> Tensor:
    """The planes `array[:, :, indices]` as float32."""
    return torch.from_numpy(array[:, :, indices.numpy()].astype(np.float32))


def neighbours(positions: Tensor, size: int) -> Neighbours:
    """The two voxels around each position on an axis of `size` voxels; beyond its ends the last voxel.

    Args:
        positions: (samples,) float64, in voxels.
    """
    positions = positions.clamp(0, size - 1)
    below = positions.floor()
    weight = positions - below
    return Neighbours(below.long(), below.long() + (weight > 0), weight.float())


def interpolate(values: Tensor, axis: int, around: Neighbours) -> Tensor:
    """Linear samples along one axis of a float tensor of any shape; a view where they are neighbouring voxels."""
    first, count = int(around.below[0]), len(around.below)
    if not around.weight.any():
        is_run = int(around.below[-1]) - first == count - 1
        return values.narrow(axis, first, count) if is_run else values.index_select(axis, around.below)
    weight = around.weight.reshape([-1 if a == axis else 1 for a in range(values.ndim)])
    return _pick(values, axis, around.below).lerp_(_pick(values, axis, around.above), weight)


def _pick(values: Tensor, axis: int, indices: Tensor) -> Tensor:
    """A copy of some places of an axis; along the last axis torch's gather is seven times faster than index_select."""
    if axis < values.ndim - 1:
        return values.index_select(axis, indices)
    return values.gather(axis, indices.expand(*values.shape[:-1], -1))
