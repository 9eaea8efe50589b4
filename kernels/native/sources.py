"""Inputs of the native convolutions: tensors whose voxels lie together, described by address and strides."""

from collections.abc import Sequence

import torch
from torch import Tensor


def dense_grids(parts: Sequence[Tensor]) -> list[Tensor]:
    """The (B, C, D, H, W) tensors, copied only where the voxels of a channel do not lie in order."""
    return [part if part[0, 0].is_contiguous() else part.contiguous() for part in parts]


def describe(parts: Sequence[Tensor]) -> Tensor:
    """The array of `Source` of cells.h: int64, (parts, 4)."""
    rows = [(p.data_ptr(), p.shape[1], p.stride(0), p.stride(1)) for p in parts]
    return torch.tensor(rows, dtype=torch.int64, device="cpu")
