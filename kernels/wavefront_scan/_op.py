"""The scan over a grid as one torch operator: dispatch, fake and autograd."""

from typing import Any

import torch
from torch import Tensor

from medssm.kernels.dispatch import Operator
from medssm.kernels.grid import Grid
from medssm.kernels.layout import empty_tokens
from medssm.kernels.torch_operator import torch_operator
from medssm.kernels.wavefront_scan._reference import CHUNK_ROWS
from medssm.kernels.wavefront_scan._tensors import GridTensors

OPERATOR = Operator(
    "wavefront_scan",
    {
        "native": "medssm.kernels.wavefront_scan._native",
        "triton": "medssm.kernels.wavefront_scan._triton",
        "reference": "medssm.kernels.wavefront_scan._reference",
    },
)
TENSORS = (
    "Tensor x, Tensor dt_top, Tensor dt_left, Tensor A_top, Tensor A_left, Tensor B_top, Tensor B_left, Tensor C, "
    "Tensor? D, Tensor? dt_bias_top, Tensor? dt_bias_left"
)
VISIT = "bool dt_softplus, SymInt[] shape, bool reverse"


def _forward_fake(*arguments: Any) -> tuple[Tensor, Tensor]:
    x, _, _, A_top, *_, shape, _, save_states, _ = arguments
    height, width = shape
    chunks = (height - 1) // CHUNK_ROWS if save_states else 0
    return empty_tokens(x), A_top.new_empty(x.shape[0], chunks, width, A_top.shape[1], x.shape[1])


@torch_operator(
    "wavefront_scan",
    schema=f"({TENSORS}, {VISIT}, bool save_states, str backend) -> (Tensor, Tensor)",
    fake=_forward_fake,
)
def wavefront_scan_op(*arguments: Any) -> tuple[Tensor, Tensor]:
    """Output (batch, dim, length), checkpoints (batch, chunks, width, state, dim).

    The arguments are those of `wavefront_scan`, checked; an empty `backend` means the one of `use_backend`.
    """
    *tensors, dt_softplus, shape, reverse, save_states, backend = arguments
    inputs, grid = GridTensors(*tensors), Grid(tuple(shape), (0, 1), (reverse, reverse))
    return OPERATOR.choose(backend, inputs.x.device, inputs).forward(inputs, dt_softplus, grid, save_states)


def _backward_fake(grad_y: Tensor, *arguments: Any) -> tuple[Tensor, ...]:
    tensors = arguments[: len(GridTensors._fields)]
    return tuple(grad_y.new_empty(0) if t is None else _unwritten(t) for t in tensors)


def _unwritten(like: Tensor) -> Tensor:
    """The gradient of tokens or states, (batch, channels, length), or of a parameter of another number of axes."""
    return empty_tokens(like) if like.ndim == 3 else like.new_empty(like.shape)


@torch_operator(
    "wavefront_scan_backward",
    schema=f"(Tensor grad_y, {TENSORS}, {VISIT}, Tensor checkpoints, str backend) -> "
    "(Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)",
    fake=_backward_fake,
)
def wavefront_scan_backward_op(grad_y: Tensor, *arguments: Any) -> tuple[Tensor, ...]:
    """Gradients of x, ..., dt_bias_left, each in its shape; an empty tensor for an input that is absent."""
    *tensors, dt_softplus, shape, reverse, checkpoints, backend = arguments
    inputs, grid = GridTensors(*tensors), Grid(tuple(shape), (0, 1), (reverse, reverse))
    chosen = OPERATOR.choose(backend, inputs.x.device, inputs, grad_y, checkpoints)
    gradients = chosen.backward(grad_y, inputs, dt_softplus, grid, checkpoints)
    return tuple(grad_y.new_empty(0) if gradient is None else gradient for gradient in gradients)


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    *tensors, ctx.dt_softplus, ctx.shape, ctx.reverse, ctx.save_states, ctx.backend = inputs
    ctx.save_for_backward(*tensors, output[1])
    ctx.set_materialize_grads(False)


def _backward(ctx: Any, grad_y: Tensor | None, _: Tensor | None) -> tuple[Any, ...]:
    *tensors, checkpoints = ctx.saved_tensors
    visit = (ctx.dt_softplus, ctx.shape, ctx.reverse)
    if not ctx.save_states:  # a program that was exported without gradients, and then differentiated
        checkpoints = wavefront_scan_op(*tensors, *visit, True, ctx.backend)[1]
    if grad_y is None:
        grad_y = torch.zeros_like(tensors[0])
    gradients = wavefront_scan_backward_op(grad_y, *tensors, *visit, checkpoints, ctx.backend)
    given = [None if t is None else gradient for t, gradient in zip(tensors, gradients, strict=True)]
    return (*given, None, None, None, None, None)


wavefront_scan_op.register_autograd(_backward, setup_context=_setup_context)
