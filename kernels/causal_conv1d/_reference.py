"""The short causal convolution as a sum over taps, in plain PyTorch; any dtype, any device."""

import torch
from torch import Tensor
from torch.nn import functional as F

from medssm.kernels.anywhere import unavailable, unsupported
from medssm.kernels.grid import Grid
from medssm.kernels.layout import laid_out

__all__ = ["backward", "forward", "unavailable", "unsupported"]


def conv1d_equation(x: Tensor, weight: Tensor, bias: Tensor | None, silu: bool, grid: Grid) -> Tensor:
    """y[t] = activation(bias + sum_k weight[k] * x[t - width + 1 + k]) along the visiting order; differentiable.

    Shapes: x and y (batch, dim, length), weight (dim, width), bias (dim,).
    """
    visits = grid.visits(x.device).long()
    width = weight.shape[1]
    padded = F.pad(x.to(weight.dtype)[..., visits], (width - 1, 0))
    y = sum(weight[:, k, None] * padded[..., k : k + grid.length] for k in range(width))
    assert isinstance(y, Tensor)
    if bias is not None:
        y = y + bias[:, None]
    if silu:
        y = F.silu(y)
    return torch.empty_like(y).index_copy(-1, visits, y).to(x.dtype)


def forward(x: Tensor, weight: Tensor, bias: Tensor | None, silu: bool, grid: Grid) -> Tensor:
    """Output (batch, dim, length) of x like it, weight (dim, width) and bias (dim,)."""
    return laid_out(conv1d_equation(x, weight, bias, silu, grid))


def backward(
    grad_y: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None, silu: bool, grid: Grid
) -> tuple[Tensor | None, ...]:
    """Gradients of x (batch, dim, length), weight (dim, width) and bias (dim,)."""
    visits = grid.visits(x.device).long()
    width, length = weight.shape[1], grid.length
    grad = grad_y.to(weight.dtype)[..., visits]
    if silu:
        y = conv1d_equation(x.to(weight.dtype), weight, bias, False, grid)[..., visits]
        sigmoid = torch.sigmoid(y)
        grad = grad * sigmoid * (1 + y * (1 - sigmoid))
    before = F.pad(x.to(weight.dtype)[..., visits], (width - 1, 0))
    after = F.pad(grad, (0, width - 1))
    dweight = torch.stack([(grad * before[..., k : k + length]).sum((0, 2)) for k in range(width)], dim=1)
    dx = sum(weight[:, k, None] * after[..., width - 1 - k : width - 1 - k + length] for k in range(width))
    assert isinstance(dx, Tensor)
    dx = torch.empty_like(dx).index_copy(-1, visits, dx).to(x.dtype)
    return laid_out(dx), dweight, None if bias is None else grad.sum((0, 2))
