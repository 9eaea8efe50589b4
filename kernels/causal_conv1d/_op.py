"""The causal convolution as one torch operator: dispatch, fake and autograd."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from medssm.kernels.dispatch import Operator
from medssm.kernels.grid import Grid
from medssm.kernels.layout import empty_tokens

OPERATOR = Operator(
    "causal_conv1d",
    {
        "causal_conv1d": "medssm.kernels.causal_conv1d._causal_conv1d",
        "native": "medssm.kernels.causal_conv1d._native",
        "triton": "medssm.kernels.causal_conv1d._triton",
        "reference": "medssm.kernels.causal_conv1d._reference",
    },
)


def _grid(shape: Sequence[int], axes: Sequence[int], reverse: Sequence[bool]) -> Grid:
    return Grid(tuple(shape), tuple(axes), tuple(reverse))


@torch.library.custom_op("medssm::causal_conv1d", mutates_args=())
def convolve(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    silu: bool,
    shape: Sequence[int],
    axes: Sequence[int],
    reverse: Sequence[bool],
    backend: str,
) -> Tensor:
    """(batch, dim, length), channels-last in memory; the arguments are those of `causal_conv1d`, checked."""
    grid = _grid(shape, axes, reverse)
    return OPERATOR.choose(backend, x.device, x, weight, bias, grid).forward(x, weight, bias, silu, grid)


@convolve.register_fake
def _convolve_fake(x: Tensor, *settings: Any) -> Tensor:
    return empty_tokens(x)


@torch.library.custom_op("medssm::causal_conv1d_backward", mutates_args=())
def convolve_backward(
    grad_y: Tensor,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    silu: bool,
    shape: Sequence[int],
    axes: Sequence[int],
    reverse: Sequence[bool],
    backend: str,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of x, weight and bias; an empty tensor for an absent bias."""
    grid = _grid(shape, axes, reverse)
    chosen = OPERATOR.choose(backend, x.device, x, weight, bias, grid)
    dx, dweight, dbias = chosen.backward(grad_y, x, weight, bias, silu, grid)
    return dx, dweight, x.new_empty(0) if dbias is None else dbias


@convolve_backward.register_fake
def _convolve_backward_fake(
    grad_y: Tensor,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    *settings: Any,
) -> tuple[Tensor, Tensor, Tensor]:
    return (
        empty_tokens(x),
        weight.new_empty(weight.shape),
        x.new_empty(0) if bias is None else bias.new_empty(bias.shape),
    )


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, weight, bias, *ctx.settings = inputs
    ctx.save_for_backward(x, weight, bias)


def _backward(ctx: Any, grad_y: Tensor) -> tuple[Any, ...]:
    x, weight, bias = ctx.saved_tensors  # once: a recomputed tensor is handed out a single time
    dx, dweight, dbias = convolve_backward(grad_y, x, weight, bias, *ctx.settings)
    return (dx, dweight, None if bias is None else dbias, *[None] * len(ctx.settings))


convolve.register_autograd(_backward, setup_context=_setup_context)
