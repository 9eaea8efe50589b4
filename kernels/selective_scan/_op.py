"""The scan as one torch operator: dispatch, fake and autograd. `selective_scan` is its one-dimensional grid."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from medssm.kernels.dispatch import Operator
from medssm.kernels.grid import Grid
from medssm.kernels.layout import empty_states, empty_tokens
from medssm.kernels.selective_scan._reference import CHUNK

OPERATOR = Operator(
    "selective_scan",
    {
        "mamba_ssm": "medssm.kernels.selective_scan._mamba_ssm",
        "native": "medssm.kernels.selective_scan._native",
        "triton": "medssm.kernels.selective_scan._triton",
        "reference": "medssm.kernels.selective_scan._reference",
    },
)


def _grid(shape: Sequence[int], axes: Sequence[int], reverse: Sequence[bool]) -> Grid:
    return Grid(tuple(shape), tuple(axes), tuple(reverse))


@torch.library.custom_op("medssm::selective_scan", mutates_args=())
def scan(
    u: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    z: Tensor | None,
    dt_bias: Tensor | None,
    dt_softplus: bool,
    shape: Sequence[int],
    axes: Sequence[int],
    reverse: Sequence[bool],
    save_states: bool,
    backend: str,
) -> tuple[Tensor, Tensor, Tensor]:
    """Output (batch, dim, length), last state (batch, dim, state), checkpoints (batch, chunks, state, dim).

    The arguments are those of `nd_selective_scan`, checked; an empty `backend` means the one of `use_backend`.
    """
    grid = _grid(shape, axes, reverse)
    chosen = OPERATOR.choose(backend, u.device, u, dt, A, B, C, D, z, dt_bias, grid)
    return chosen.forward(u, dt, A, B, C, D, z, dt_bias, dt_softplus, grid, save_states)


@scan.register_fake
def _scan_fake(u: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, *settings: Any) -> tuple[Tensor, Tensor, Tensor]:
    batch, dim, length = u.shape
    save_states = settings[-2]
    state = A.shape[1]
    checkpoints = (batch, (length + CHUNK - 1) // CHUNK, state, dim) if save_states else (0,)
    return empty_tokens(u), A.new_empty(batch, dim, state), A.new_empty(checkpoints)


@torch.library.custom_op("medssm::selective_scan_backward", mutates_args=())
def scan_backward(
    grad_y: Tensor,
    grad_last_state: Tensor | None,
    u: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    z: Tensor | None,
    dt_bias: Tensor | None,
    dt_softplus: bool,
    shape: Sequence[int],
    axes: Sequence[int],
    reverse: Sequence[bool],
    checkpoints: Tensor,
    backend: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients of u, dt, A, B, C, D, z, dt_bias; an empty tensor for an input that is absent."""
    grid = _grid(shape, axes, reverse)
    inputs = (u, dt, A, B, C, D, z, dt_bias)
    chosen = OPERATOR.choose(backend, u.device, *inputs, grid)
    gradients = chosen.backward(grad_y, grad_last_state, *inputs, dt_softplus, grid, checkpoints)
    return tuple(  # type: ignore[return-value]
        u.new_empty(0) if gradient is None else gradient for gradient in gradients
    )


@scan_backward.register_fake
def _scan_backward_fake(grad_y: Tensor, grad_last_state: Tensor | None, *arguments: Any) -> tuple[Tensor, ...]:
    u, dt, A, B, C, D, z, dt_bias = arguments[:8]
    absent = grad_y.new_empty(0)
    return (
        empty_tokens(u),
        empty_tokens(dt),
        A.new_empty(A.shape),
        empty_states(B),
        empty_states(C),
        absent if D is None else D.new_empty(D.shape),
        absent if z is None else empty_tokens(z),
        absent if dt_bias is None else dt_bias.new_empty(dt_bias.shape),
    )


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    *tensors, ctx.dt_softplus, ctx.shape, ctx.axes, ctx.reverse, _, ctx.backend = inputs
    ctx.save_for_backward(*tensors, output[2])
    ctx.set_materialize_grads(False)


def _backward(ctx: Any, grad_y: Tensor | None, grad_last_state: Tensor | None, _: Tensor | None) -> tuple[Any, ...]:
    *tensors, checkpoints = ctx.saved_tensors
    if grad_y is None:
        grad_y = torch.zeros_like(tensors[0])
    gradients = scan_backward(
        grad_y,
        grad_last_state,
        *tensors,
        ctx.dt_softplus,
        ctx.shape,
        ctx.axes,
        ctx.reverse,
        checkpoints,
        ctx.backend,
    )
    given = [None if x is None else gradient for x, gradient in zip(tensors, gradients, strict=True)]
    return (*given, None, None, None, None, None, None)


scan.register_autograd(_backward, setup_context=_setup_context)
