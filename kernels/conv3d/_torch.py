"""The convolution by torch: any device and dtype, differentiable. The one the native kernels are held to."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from medssm.kernels.anywhere import unavailable, unsupported

__all__ = ["forward", "unavailable", "unsupported"]


def forward(parts: Sequence[Tensor], weight: Tensor, bias: Tensor | None) -> Tensor:
    """Output (B, K, D, H, W) of parts (B, C, D, H, W) each, which are one along C."""
    x = parts[0] if len(parts) == 1 else torch.cat(list(parts), dim=1)
    return F.conv3d(x, weight, bias, padding="same")
