"""The up-convolution by torch: any device and dtype, differentiable. The one the native kernel is held to."""

from torch import Tensor
from torch.nn import functional as F

from medssm.kernels.anywhere import unavailable, unsupported

__all__ = ["forward", "unavailable", "unsupported"]


def forward(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Output (B, K, s * (D, H, W)) of x (B, C, D, H, W); s are the sides of the weight (C, K, *s)."""
    return F.conv_transpose3d(x, weight, bias, stride=weight.shape[2:])
