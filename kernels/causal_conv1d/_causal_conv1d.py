"""The causal-conv1d package's CUDA kernel, where it is installed: tokens in memory order only."""

import torch
from torch import Tensor

from medssm.kernels.foreign import Context, reason_against_package
from medssm.kernels.grid import Grid
from medssm.kernels.layout import laid_out


def unavailable(device: torch.device) -> str | None:
    return reason_against_package("causal_conv1d", "causal_conv1d.causal_conv1d_interface", device)


def unsupported(x: Tensor, weight: Tensor, bias: Tensor | None, grid: Grid, *others: object) -> str | None:
    """Why this backend cannot take x (batch, dim, length); None if it can."""
    if not grid.is_identity:
        return "causal_conv1d goes in memory order only; another order would copy the activations"
    if x.dtype == torch.float64:
        return "causal_conv1d has no float64"
    if not 2 <= weight.shape[1] <= 4:
        return f"causal_conv1d has widths 2 to 4, not {weight.shape[1]}"
    if torch.are_deterministic_algorithms_enabled():
        return "causal_conv1d adds gradients in an order that varies, and deterministic algorithms were asked for"
    return None


def _forward(context: Context, x: Tensor, weight: Tensor, bias: Tensor | None, silu: bool) -> Tensor:
    from causal_conv1d.causal_conv1d_interface import CausalConv1dFn

    return CausalConv1dFn.forward(context, x, weight, bias, None, None, False, None, "silu" if silu else None)


def forward(x: Tensor, weight: Tensor, bias: Tensor | None, silu: bool, grid: Grid) -> Tensor:
    """Output (batch, dim, length) of x like it, weight (dim, width) and bias (dim,)."""
    return laid_out(_forward(Context(), x, weight, bias, silu))


def backward(
    grad_y: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None, silu: bool, grid: Grid
) -> tuple[Tensor | None, ...]:
    """Gradients of x (batch, dim, length), weight (dim, width) and bias (dim,)."""
    from causal_conv1d.causal_conv1d_interface import CausalConv1dFn

    context = Context()
    _forward(context, x, weight, bias, silu)
    dx, dweight, dbias = CausalConv1dFn.backward(context, grad_y)[:3]
    return laid_out(dx), dweight, dbias
