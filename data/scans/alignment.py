"""Volumes laid out like others: axes turned, and segmentations that are cropped to what they show put on a whole grid.

Nothing is resampled here.
"""

from dataclasses import replace

import nibabel as nib
import numpy as np
from nibabel.orientations import inv_ornt_aff, ornt_transform

from medssm.data.scans.geometry import is_same_grid
from medssm.data.scans.volume import Volume

# Voxels from the beginning of one grid to that of another one that may be a part of it, and of a grid around both.
_FARTHEST, _MOST_VOXELS = 1 << 14, 1 << 30


def turned_like(volume: Volume, like: Volume) -> Volume:
    """`volume` with its axes exchanged and flipped to run as those of `like` do: the same voxels, nothing resampled.

    A label map drawn in another program often has another orientation than the scan it was drawn on. A segmentation
    that is cropped to what it shows is laid out on the grid of `like`, if it is a part of that.
    """
    if volume.shape == like.shape and is_same_grid(like.shape, like.affine, volume.affine):
        return volume
    turns = ornt_transform(nib.io_orientation(volume.affine), nib.io_orientation(like.affine))
    affine = volume.affine @ inv_ornt_aff(turns, volume.shape)
    turned = replace(volume, array=nib.apply_orientation(volume.array, turns), affine=affine, header=None)
    return on_larger_grid(turned, like.shape, like.affine) if volume.is_segmentation else turned


def around(first: Volume, second: Volume) -> Volume:
    """The smallest grid of voxels of `first` that holds `second` as well, without labels; `first` if it is another one.

    Args:
        second: its axes run as those of `first`.
    """
    low, is_same = _shift(second, first.affine)
    start = np.minimum(low, 0)
    stop = np.maximum(first.shape, low + second.shape)
    if not is_same or np.prod(stop - start) > _MOST_VOXELS:
        return first
    affine = first.affine @ nib.affines.from_matvec(np.eye(3), start)
    return Volume(np.broadcast_to(np.uint8(0), tuple((stop - start).tolist())), affine)


def _shift(volume: Volume, affine: np.ndarray) -> tuple[np.ndarray, bool]:
    """Where the first voxel lies on the grid of an affine (4, 4), in whole voxels (3,), and whether it is its grid."""
    shift = np.rint(np.linalg.solve(affine, volume.affine[:, 3])[:3])
    there = affine @ nib.affines.from_matvec(np.eye(3), shift)
    if not np.abs(shift).max() < _FARTHEST:
        return np.zeros(3, int), False
    return shift.astype(int), is_same_grid(volume.shape, volume.affine, there)


def on_larger_grid(volume: Volume, shape: tuple[int, int, int], affine: np.ndarray) -> Volume:
    """A segmentation on a larger grid whose voxels are its own, with background around it; itself if that loses labels.

    Args:
        shape, affine: (X, Y, Z) and (4, 4) of the grid.
    """
    shift, is_same = _shift(volume, affine)
    if not is_same:
        return volume
    here, there = [], []
    for start, size, whole in zip(shift.tolist(), volume.shape, shape, strict=True):
        first = max(start, 0)
        stop = max(min(start + size, whole), first)
        here.append(slice(first - start, stop - start))
        there.append(slice(first, stop))
    if np.count_nonzero(volume.array[tuple(here)]) < np.count_nonzero(volume.array):
        return volume
    out = np.zeros(shape, volume.array.dtype, order="F")
    out[tuple(there)] = volume.array[tuple(here)]
    return replace(volume, array=out, affine=affine)
