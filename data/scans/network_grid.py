"""A case on the network's grid: the one way that training, validation and prediction share."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import nibabel as nib
import numpy as np
import torch
from torch import Tensor

from medssm.data.scans.cases import ScanCase
from medssm.data.scans.channels import IntensityMap
from medssm.data.scans.geometry import spacing_of
from medssm.data.scans.labelled import read_labels
from medssm.data.scans.plausibility import refuse_empty, summarise_values
from medssm.data.scans.preprocessing import Preprocessing
from medssm.data.scans.resampling import (
    resample_linear,
    resample_nearest,
    resampled_shape,
    resampling_steps,
)
from medssm.data.scans.scan import Scan, read_scan
from medssm.data.scans.volume import Volume
from medssm.errors import GeometryError

# A scan that is resampled this much finer to a grid of such a size is no person, but one with a wrong unit.
_FINER, _LONGEST_SIDE, _MOST_VOXELS = 0.25, 2000, 1 << 30
# And so is one that is resampled this much coarser, to so few voxels a side.
_COARSER, _FEW_VOXELS = 10, 8

Shape = tuple[int, int, int]


class PreprocessedCase(NamedTuple):
    """A case on the network's grid.

    Attributes:
        image: (C, D, H, W) float32.
        body: (D, H, W) bool, what is no air.
        label: (D, H, W) uint8, 255 where nothing is known; None for a case without reference.
        affine: (4, 4) float64 from voxel (i, j, k) of the grid to RAS+ mm.
    """

    image: Tensor
    body: Tensor
    label: Tensor | None
    affine: np.ndarray


def read_scan_and_labels(case: ScanCase, preprocessing: Preprocessing) -> tuple[Scan, np.ndarray | None]:
    """The scan of a case and, if it has any, its labels on the same grid, (X, Y, Z) uint8, 255 where nothing is known.

    Raises: DataError or GeometryError if a file cannot be read, the two do not lie on one grid, the scan shows nothing
        within the window of intensities, or is of a size that no patient has.
    """
    scan = read_scan(case.images, preprocessing.channel_names)
    check_size(scan.first, preprocessing)
    for volume, window in zip(scan.channels, preprocessing.windows, strict=True):
        refuse_empty(volume, window, summarise_values(volume.array))
    return scan, read_labels(case, scan.first) if case.label else None


def preprocess_scan(scan: Scan, preprocessing: Preprocessing, labels: np.ndarray | None = None) -> PreprocessedCase:
    """A scan, and the labels of its voxels if there are any, on the network's grid.

    Orientation, spacing (images linear, labels nearest), normalisation of each channel, crop to the body, in this
    order; for one channel with a window these are the results of MONAI's Orientation, Spacing, ScaleIntensityRange and
    CropForeground. One difference: the axes of a sheared affine keep their directions, where MONAI would straighten
    them.

    Args:
        labels: (X, Y, Z) uint8 on the scan's grid.

    Source: Mamba-ND's BTCV pipeline, after UNETR (arXiv:2103.10504, section 4.2).
    """
    stored = scan.first.affine
    affine = to_ras(scan.first.array, stored)[1]
    steps = resampling_steps(spacing_of(affine), preprocessing.spacing)
    maps = intensity_maps(scan, preprocessing)
    channels = [resample_linear(to_ras(array, stored)[0], steps) for array in scan.arrays]
    body = body_of(channels, maps)
    image = as_input(channels, maps)
    affine = affine @ np.diag([*steps, 1.0])
    label = None if labels is None else resample_nearest(to_ras(labels, stored)[0], steps)
    if preprocessing.crop_foreground:
        box = foreground_box(body)
        image, body = image[(slice(None), *box)].contiguous(), body[box].contiguous()
        label = None if label is None else label[box].contiguous()
        affine = affine @ nib.affines.from_matvec(np.eye(3), [axis.start for axis in box])
    return PreprocessedCase(image, body, label, affine)


def intensity_maps(scan: Scan, preprocessing: Preprocessing) -> list[IntensityMap]:
    """What is done to the values of each channel, fitted to this scan; reads the scan once where that is needed."""
    pairs = zip(preprocessing.channels, scan.arrays, strict=True)
    return [channel.normalisation.fitted(summarise_values(array)) for channel, array in pairs]


def body_of(channels: Sequence[Tensor], maps: Sequence[IntensityMap]) -> Tensor:
    """Where the values of any channel are above its air; (D, H, W) bool of tensors (D, H, W) before they are mapped."""
    body = channels[0] > maps[0].air
    for channel, mapped in zip(channels[1:], maps[1:], strict=True):
        body |= channel > mapped.air
    return body


def check_size(volume: Volume, preprocessing: Preprocessing) -> None:
    """Holds the size of a scan against the spacing of a network, before memory is taken for its grid.

    Raises: GeometryError if the spacing makes the scan larger than a person, or as small as a few of the grid's voxels.
    """
    spacing, target = volume.spacing, preprocessing.spacing
    steps = resampling_steps(spacing, target)
    grid = resampled_shape(volume.shape, steps)
    is_huge = min(steps) < _FINER and (max(grid) > _LONGEST_SIDE or math.prod(grid) > _MOST_VOXELS)
    is_tiny = min(steps) > _COARSER and max(grid) < _FEW_VOXELS
    if is_huge or is_tiny:
        sides, sizes, there = (
            " x ".join(f"{value:.3g}" if value < 100 else f"{value:.0f}" for value in values)
            for values in ([s * n for s, n in zip(spacing, volume.shape, strict=True)], spacing, target)
        )
        raise GeometryError(
            f"{volume.path}: a spacing of {sizes} mm makes a scan of {sides} mm, {'larger' if is_huge else 'smaller'} "
            f"than the network can take at its {there} mm; correct the spacing or its unit in the header"
        )


def to_ras(array: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A view of the array whose axes run nearest to right, front and head, and the affine of that view.

    Args:
        array: (X, Y, Z).
        affine: (4, 4) to RAS+ mm.
    """
    turns = nib.io_orientation(affine)
    turned = nib.apply_orientation(array, turns)
    return turned, affine @ nib.orientations.inv_ornt_aff(turns, array.shape)


def as_input(channels: Sequence[Tensor], maps: Sequence[IntensityMap]) -> Tensor:
    """Channels (D, H, W) as a network takes them, (C, D, H, W); they are changed in place."""
    image = [mapped.applied(channel) for channel, mapped in zip(channels, maps, strict=True)]
    return torch.stack(image) if len(image) > 1 else image[0][None]


def foreground_box(mask: Tensor) -> tuple[slice, slice, slice]:
    """The bounding box of a mask (D, H, W), or everything where there is no voxel in it."""
    box = []
    for axis in range(3):
        others = [a for a in range(3) if a != axis]
        hit = torch.nonzero(mask.amax(dim=others)).flatten()
        box.append(slice(int(hit[0]), int(hit[-1]) + 1) if len(hit) else slice(0, mask.shape[axis]))
    return box[0], box[1], box[2]
