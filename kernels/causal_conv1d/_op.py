"""The causal convolution as one torch operator: dispatch, fake and autograd."""

from typing import Any

from torch import Tensor

from medssm.kernels.dispatch import Operator
from medssm.kernels.grid import Grid
from medssm.kernels.layout import empty_tokens
from medssm.kernels.torch_operator import torch_operator

OPERATOR = Operator(
    "causal_conv1d",
    {
        "causal_conv1d": "medssm.kernels.causal_conv1d._causal_conv1d",
        "native": "medssm.kernels.causal_conv1d._native",
        "triton": "medssm.kernels.causal_conv1d._triton",
        "reference": "medssm.kernels.causal_conv1d._reference",
    },
)
TENSORS = "Tensor x, Tensor weight, Tensor? bias"
VISIT = "bool silu, SymInt[] shape, SymInt[] axes, bool[] reverse"


def _forward_fake(x: Tensor, *others: Any) -> Tensor:
    return empty_tokens(x)


@torch_operator("causal_conv1d", schema=f"({TENSORS}, {VISIT}, str backend) -> Tensor", fake=_forward_fake)
def causal_conv1d_op(x: Tensor, weight: Tensor, bias: Tensor | None, *settings: Any) -> Tensor:
    """(batch, dim, length), channels-last in memory; the arguments are those of `causal_conv1d`, checked."""
    silu, shape, axes, reverse, backend = settings
    grid = Grid(tuple(shape), tuple(axes), tuple(reverse))
    return OPERATOR.choose(backend, x.device, x, weight, bias, grid).forward(x, weight, bias, silu, grid)


def _backward_fake(
    grad_y: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None, *settings: Any
) -> tuple[Tensor, Tensor, Tensor]:
    dbias = x.new_empty(0) if bias is None else bias.new_empty(bias.shape)
    return empty_tokens(x), weight.new_empty(weight.shape), dbias


@torch_operator(
    "causal_conv1d_backward",
    schema=f"(Tensor grad_y, {TENSORS}, {VISIT}, str backend) -> (Tensor, Tensor, Tensor)",
    fake=_backward_fake,
)
def causal_conv1d_backward_op(
    grad_y: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None, *settings: Any
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of x, weight and bias, each in its shape; an empty tensor for an absent bias."""
    silu, shape, axes, reverse, backend = settings
    grid = Grid(tuple(shape), tuple(axes), tuple(reverse))
    chosen = OPERATOR.choose(backend, x.device, x, weight, bias, grid, grad_y)
    dx, dweight, dbias = chosen.backward(grad_y, x, weight, bias, silu, grid)
    return dx, dweight, x.new_empty(0) if dbias is None else dbias


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, weight, bias, *ctx.settings = inputs
    ctx.save_for_backward(x, weight, bias)


def _backward(ctx: Any, grad_y: Tensor) -> tuple[Any, ...]:
    x, weight, bias = ctx.saved_tensors  # once: a recomputed tensor is handed out a single time
    dx, dweight, dbias = causal_conv1d_backward_op(grad_y, x, weight, bias, *ctx.settings)
    return (dx, dweight, None if bias is None else dbias, *[None] * len(ctx.settings))


causal_conv1d_op.register_autograd(_backward, setup_context=_setup_context)
