"""A window centred near a voxel of an organ, every organ equally often, or of the background."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from medssm.data.scans.transforms.candidates import CropCandidates


def organ_centre(
    candidates: CropCandidates,
    shape: Sequence[int],
    reach: Sequence[float],
    background: float,
    rng: np.random.RandomState,
) -> tuple[int, ...]:
    """A voxel near an organ: the organ, one of its voxels and a shift by at most `reach` are drawn in turn.

    Args:
        candidates: of a volume of this shape; without any organ its background counts, else the whole volume.
        shape: (D, H, W) of the volume.
        reach: largest shift per axis, in voxels.
        background: how likely the background inside the body takes the organ's part.
    """
    present = candidates.present().tolist()
    if not present or (rng.random_sample() < background and len(candidates.background)):
        voxels = candidates.background
    else:
        voxels = candidates.of_organ(present[rng.randint(len(present))])
    flat = int(voxels[rng.randint(len(voxels))]) if len(voxels) else rng.randint(int(np.prod(shape)))
    voxel = np.array(np.unravel_index(flat, tuple(shape)))
    shift = rng.uniform(-1, 1, 3) * np.asarray(reach)
    return tuple(int(v) for v in np.rint(voxel + shift))


def crop_padded(volume: Tensor, centre: Sequence[int], size: Sequence[int], padding: str) -> Tensor:
    """A window of exactly `size`, moved inwards where it would leave the volume, padded where that is too thin.

    Args:
        volume: (C, D, H, W).
        centre: voxel (d, h, w); the window starts size // 2 before it.
        size: (D', H', W').
        padding: "edge" or "zero"; both sides get the same, the upper one the odd voxel, as in MONAI's SpatialPad.

    Returns: (C, D', H', W'), a copy.
    """
    for axis, (middle, wanted) in enumerate(zip(centre, size, strict=True), start=1):
        have = volume.shape[axis]
        start = min(max(middle - wanted // 2, 0), have - wanted) if have >= wanted else -((wanted - have) // 2)
        index = torch.arange(start, start + wanted)
        volume = _take(volume, axis, index, padding)
    return volume


def _take(volume: Tensor, axis: int, index: Tensor, padding: str) -> Tensor:
    have = volume.shape[axis]
    inside = index.clamp(0, have - 1)
    taken = volume.index_select(axis, inside)
    if padding == "zero":
        outside = (index != inside).nonzero().flatten()
        taken.index_fill_(axis, outside, 0)
    return taken
