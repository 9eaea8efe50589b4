"""A case on the network's grid: the one way that training, validation and prediction share."""

import math
from typing import NamedTuple, Protocol

import nibabel as nib
import numpy as np
import torch
from torch import Tensor

from medssm.data.scans.cases import ScanCase
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
from medssm.data.scans.volume import Volume, read_volume
from medssm.errors import GeometryError

# A scan that is resampled this much finer to a grid of such a size is no person, but one with a wrong unit.
_FINER, _LONGEST_SIDE, _MOST_VOXELS = 0.25, 2000, 1 << 31
# And so is one that is resampled this much coarser, to so few voxels a side.
_COARSER, _FEW_VOXELS = 10, 8

Shape = tuple[int, int, int]


class PreprocessedCase(NamedTuple):
    """A case on the network's grid.

    Attributes:
        image: (1, D, H, W) float32 in [0, 1].
        label: (D, H, W) uint8, 255 where nothing is known; None for a case without reference.
        affine: (4, 4) float64 from voxel (i, j, k) of the grid to RAS+ mm.
    """

    image: Tensor
    label: Tensor | None
    affine: np.ndarray


class _Grid(Protocol):
    """What is needed of a volume: its voxels and where they lie."""

    @property
    def array(self) -> np.ndarray: ...

    @property
    def affine(self) -> np.ndarray: ...


def read_scan_and_labels(case: ScanCase, preprocessing: Preprocessing) -> tuple[Volume, np.ndarray | None]:
    """The scan of a case and, if it has any, its labels on the same grid, (X, Y, Z) uint8, 255 where nothing is known.

    Raises: DataError or GeometryError if a file cannot be read, the two do not lie on one grid, the scan shows nothing
        within the window of intensities, or is of a size that no patient has.
    """
    volume = read_volume(case.image)
    check_size(volume, preprocessing)
    refuse_empty(volume, preprocessing.intensity, summarise_values(volume.array))
    return volume, read_labels(case, volume) if case.label else None


def preprocess_volume(
    volume: _Grid, preprocessing: Preprocessing, labels: np.ndarray | None = None
) -> PreprocessedCase:
    """A volume, and the labels of its voxels if there are any, on the network's grid.

    Orientation, spacing (image linear, labels nearest), intensity window, crop to the foreground, in this order, with
    the results of MONAI's Orientation, Spacing, ScaleIntensityRange and CropForeground. One difference: the axes of a
    sheared affine keep their directions, where MONAI would straighten them.

    Args:
        volume: anything with array (X, Y, Z) and affine (4, 4) in RAS+ mm.
        labels: (X, Y, Z) uint8 on the volume's grid.

    Source: Mamba-ND's BTCV pipeline, after UNETR (arXiv:2103.10504, section 4.2).
    """
    array, affine = to_ras(volume.array, volume.affine)
    steps = resampling_steps(spacing_of(affine), preprocessing.spacing)
    image = scale_intensity(resample_linear(array, steps), preprocessing.intensity)
    affine = affine @ np.diag([*steps, 1.0])
    label = None if labels is None else resample_nearest(to_ras(labels, volume.affine)[0], steps)
    if preprocessing.crop_foreground:
        box = foreground_box(image)
        image = image[box].contiguous()
        label = None if label is None else label[box].contiguous()
        affine = affine @ nib.affines.from_matvec(np.eye(3), [axis.start for axis in box])
    return PreprocessedCase(image[None], label, affine)


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


def scale_intensity(image: Tensor, window: tuple[float, float]) -> Tensor:
    """The window (low, high) mapped to [0, 1] and clipped, in place; what is no number becomes 0, like air."""
    low, high = window
    return image.sub_(low).div_(high - low).clamp_(0.0, 1.0).nan_to_num_(0.0)


def foreground_box(image: Tensor) -> tuple[slice, slice, slice]:
    """The bounding box of image > 0, or everything where there is no such voxel.

    Args:
        image: (D, H, W).
    """
    mask = image > 0
    box = []
    for axis in range(3):
        others = [a for a in range(3) if a != axis]
        hit = torch.nonzero(mask.amax(dim=others)).flatten()
        box.append(slice(int(hit[0]), int(hit[-1]) + 1) if len(hit) else slice(0, mask.shape[axis]))
    return box[0], box[1], box[2]
