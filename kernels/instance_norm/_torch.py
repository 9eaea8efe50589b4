"""Instance norm, residual and LeakyReLU by torch: any device and dtype, differentiable; the native kernel's measure."""

import torch
from torch import Tensor
from torch.nn import functional as F

from medssm.kernels.anywhere import unavailable, unsupported

__all__ = ["forward", "forward_", "unavailable", "unsupported"]


def forward(x: Tensor, residual: Tensor | None, eps: float, negative_slope: float | None) -> Tensor:
    # Not F.instance_norm, which refuses a grid of one voxel.
    """Output (B, C, D, H, W) of x and a residual like it."""
    y = torch.instance_norm(x, None, None, None, None, True, 0.0, eps, torch.backends.cudnn.enabled)
    if residual is not None:
        y = y + residual
    return y if negative_slope is None else F.leaky_relu(y, negative_slope)


def forward_(x: Tensor, residual: Tensor | None, eps: float, negative_slope: float | None) -> None:
    """The same, written over x (B, C, D, H, W)."""
    x.copy_(forward(x, residual, eps, negative_slope))
