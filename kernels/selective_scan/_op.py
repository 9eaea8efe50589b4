"""The scan as one torch operator: dispatch, fake and autograd. `selective_scan` is its one-dimensional grid."""

from typing import Any

import torch
from torch import Tensor

from medssm.kernels.dispatch import Operator
from medssm.kernels.grid import Grid
from medssm.kernels.layout import empty_states, empty_tokens
from medssm.kernels.selective_scan._reference import CHUNK
from medssm.kernels.selective_scan._tensors import ScanTensors
from medssm.kernels.torch_operator import torch_operator

OPERATOR = Operator(
    "selective_scan",
    {
        "mamba_ssm": "medssm.kernels.selective_scan._mamba_ssm",
        "native": "medssm.kernels.selective_scan._native",
        "triton": "medssm.kernels.selective_scan._triton",
        "reference": "medssm.kernels.selective_scan._reference",
    },
)
TENSORS = "Tensor u, Tensor dt, Tensor A, Tensor B, Tensor C, Tensor? D, Tensor? z, Tensor? dt_bias"
VISIT = "bool dt_softplus, SymInt[] shape, SymInt[] axes, bool[] reverse"


def _forward_fake(*arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
    u, _, A, *_, save_states, _ = arguments
    batch, dim, length = u.shape
    state = A.shape[1]
    checkpoints = (batch, (length + CHUNK - 1) // CHUNK, state, dim) if save_states else (0,)
    return empty_tokens(u), A.new_empty(batch, dim, state), A.new_empty(checkpoints)


@torch_operator(
    "selective_scan",
    schema=f"({TENSORS}, {VISIT}, bool save_states, str backend) -> (Tensor, Tensor, Tensor)",
    fake=_forward_fake,
)
def selective_scan_op(*arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Output (batch, dim, length), last state (batch, dim, state), checkpoints (batch, chunks, state, dim).

    The arguments are those of `nd_selective_scan`, checked; an empty `backend` means the one of `use_backend`.
    """
    *tensors, dt_softplus, shape, axes, reverse, save_states, backend = arguments
    inputs, grid = ScanTensors(*tensors), Grid(tuple(shape), tuple(axes), tuple(reverse))
    chosen = OPERATOR.choose(backend, inputs.u.device, inputs, grid)
    return chosen.forward(inputs, dt_softplus, grid, save_states)


def _backward_fake(grad_y: Tensor, grad_last_state: Tensor | None, *arguments: Any) -> tuple[Tensor, ...]:
    u, dt, A, B, C, D, z, dt_bias = arguments[: len(ScanTensors._fields)]
    return (
        empty_tokens(u),
        empty_tokens(dt),
        A.new_empty(A.shape),
        empty_states(B),
        empty_states(C),
        grad_y.new_empty(0) if D is None else D.new_empty(D.shape),
        grad_y.new_empty(0) if z is None else empty_tokens(z),
        grad_y.new_empty(0) if dt_bias is None else dt_bias.new_empty(dt_bias.shape),
    )


@torch_operator(
    "selective_scan_backward",
    schema=f"(Tensor grad_y, Tensor? grad_last_state, {TENSORS}, {VISIT}, Tensor checkpoints, str backend) -> "
    "(Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)",
    fake=_backward_fake,
)
def selective_scan_backward_op(grad_y: Tensor, grad_last_state: Tensor | None, *arguments: Any) -> tuple[Tensor, ...]:
    """Gradients of u, dt, A, B, C, D, z, dt_bias, each in its shape; an empty tensor for an input that is absent."""
    *tensors, dt_softplus, shape, axes, reverse, checkpoints, backend = arguments
    inputs, grid = ScanTensors(*tensors), Grid(tuple(shape), tuple(axes), tuple(reverse))
    chosen = OPERATOR.choose(backend, inputs.u.device, inputs, grid, grad_y, grad_last_state, checkpoints)
    gradients = chosen.backward(grad_y, grad_last_state, inputs, dt_softplus, grid, checkpoints)
    return tuple(grad_y.new_empty(0) if gradient is None else gradient for gradient in gradients)


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    *tensors, ctx.dt_softplus, ctx.shape, ctx.axes, ctx.reverse, ctx.save_states, ctx.backend = inputs
    ctx.save_for_backward(*tensors, output[2])
    ctx.set_materialize_grads(False)


def _backward(ctx: Any, grad_y: Tensor | None, grad_last_state: Tensor | None, _: Tensor | None) -> tuple[Any, ...]:
    *tensors, checkpoints = ctx.saved_tensors
    visit = (ctx.dt_softplus, ctx.shape, ctx.axes, ctx.reverse)
    if not ctx.save_states:  # a program that was exported without gradients, and then differentiated
        checkpoints = selective_scan_op(*tensors, *visit, True, ctx.backend)[2]
    if grad_y is None:
        grad_y = torch.zeros_like(tensors[0])
    gradients = selective_scan_backward_op(grad_y, grad_last_state, *tensors, *visit, checkpoints, ctx.backend)
    given = [None if x is None else gradient for x, gradient in zip(tensors, gradients, strict=True)]
    return (*given, None, None, None, None, None, None)


selective_scan_op.register_autograd(_backward, setup_context=_setup_context)
