"""The convolutions of the decoder, in torch. Tensors are (B, C, D, H, W)."""

from torch import Tensor
from torch.nn import functional


def conv3d(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Convolution of stride 1 that keeps the size, for kernels of 3^3 and 1^3."""
    return functional.conv3d(x, weight, bias, padding=weight.shape[-1] // 2)


def conv_transpose3d(x: Tensor, weight: Tensor) -> Tensor:
    """Transposed convolution, kernel and stride 2."""
    return functional.conv_transpose3d(x, weight, stride=2)


def instance_norm(
    x: Tensor, *, eps: float = 1e-5, residual: Tensor | None = None, negative_slope: float | None = None
) -> Tensor:
    """leaky_relu(instance norm of x + residual); None leaves a term out."""
    y = functional.instance_norm(x, eps=eps)
    y = y if residual is None else y + residual
    return y if negative_slope is None else functional.leaky_relu(y, negative_slope)
