"""Separable resampling from one voxel grid to another along the same axes.

A grid of output spacing s_out is laid over one of spacing s_in so that the centres of the two first voxels coincide:
output voxel i of an axis lies at input position i * s_out / s_in. Positions beyond the last voxel take its value.
That is the grid of MONAI's `Spacing` with its defaults, whose trilinear interpolation equals three linear ones in a
row; a scan needs no coordinate per voxel this way, and memory stays at a few planes beyond input and output.
"""

import numpy as np
import torch
from torch import Tensor

Triple = tuple[float, float, float]
Box = tuple[slice, slice, slice]
Neighbours = tuple[Tensor, Tensor, Tensor]

# As in MONAI: a spacing this near to the wanted one, in mm, is left as it is.
SPACING_TOLERANCE = 1e-3
PLANES_AT_ONCE = 16


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
    wanted = [range(size)[part] for size, part in zip(resampled_shape(array.shape, steps), box, strict=True)]
    if steps == (1.0, 1.0, 1.0):
        return torch.from_numpy(np.array(array[box], dtype=np.float32, order="C"))
    out = torch.empty([len(samples) for samples in wanted], dtype=torch.float32)
    x, y, z = (_neighbours(*sizes) for sizes in zip(array.shape, wanted, steps, strict=True))
    for start in range(0, len(wanted[2]), PLANES_AT_ONCE):
        planes = slice(start, start + PLANES_AT_ONCE)
        below, above, weight = (part[planes] for part in z)
        cut = array[_span(x), _span(y)]
        slab = torch.lerp(_planes(cut, below), _planes(cut, above), weight)
        for axis, neighbours in enumerate((x, y)):
            slab = _resample_axis(slab, axis, neighbours, steps[axis])
        out[:, :, planes] = slab
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


def _span(neighbours: Neighbours) -> slice:
    """The voxels of an axis that its samples need."""
    below, above, _ = neighbours
    return slice(int(below[0]), int(above[-1]) + 1)


def _resample_axis(values: Tensor, axis: int, neighbours: Neighbours, step: float) -> Tensor:
    """Samples along an axis that was cut to the span of its neighbours."""
    below, above, weight = neighbours
    if step == 1.0:
        return values.narrow(axis, 0, len(below))
    weight = weight.reshape([-1 if a == axis else 1 for a in range(3)])
    lower, upper = (values.index_select(axis, index - below[0]) for index in (below, above))
    return torch.lerp(lower, upper, weight)


def _neighbours(size: int, samples: range, step: float) -> Neighbours:
    """The two source voxels around each sample and the weight of the upper one (float32)."""
    position = torch.clamp(torch.arange(samples.start, samples.stop, dtype=torch.float64) * step, max=size - 1)
    below = position.floor().long()
    return below, torch.clamp(below + 1, max=size - 1), (position - below).float()
