"""The scan of states as one torch operator: dispatch, fake and autograd. The backward pass reads the states given."""

from typing import Any

import torch
from torch import Tensor

from medssm.kernels.dispatch import Operator
from medssm.kernels.layout import empty_state_path, empty_tokens

OPERATOR = Operator(
    "state_scan",
    {
        "native": "medssm.kernels.state_scan._native",
        "triton": "medssm.kernels.state_scan._triton",
        "reference": "medssm.kernels.state_scan._reference",
    },
)


@torch.library.custom_op("medssm::state_scan", mutates_args=())
def scan_states(
    u: Tensor, dt: Tensor, A: Tensor, B: Tensor, dt_bias: Tensor | None, dt_softplus: bool, backend: str
) -> Tensor:
    """(batch, dim, state, length), the arguments those of `state_scan`, checked; an empty `backend` chooses."""
    chosen = OPERATOR.choose(backend, u.device, u, dt, A, B, dt_bias)
    return chosen.forward(u, dt, A, B, dt_bias, dt_softplus)


@scan_states.register_fake
def _scan_fake(u: Tensor, dt: Tensor, A: Tensor, *settings: Any) -> Tensor:
    return empty_state_path(u, A.shape[1])


@torch.library.custom_op("medssm::state_scan_backward", mutates_args=())
def scan_states_backward(
    grad_h: Tensor,
    h: Tensor,
    u: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    dt_bias: Tensor | None,
    dt_softplus: bool,
    backend: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients of u, dt, A, B, dt_bias; an empty tensor for an absent bias."""
    chosen = OPERATOR.choose(backend, u.device, u, dt, A, B, dt_bias)
    *gradients, ddt_bias = chosen.backward(grad_h, h, u, dt, A, B, dt_bias, dt_softplus)
    return (*gradients, A.new_empty(0) if ddt_bias is None else ddt_bias)


@scan_states_backward.register_fake
def _scan_backward_fake(
    grad_h: Tensor, h: Tensor, u: Tensor, dt: Tensor, A: Tensor, B: Tensor, dt_bias: Tensor | None, *settings: Any
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    ddt_bias = A.new_empty(0 if dt_bias is None else dt_bias.shape)
    return empty_tokens(u), empty_tokens(dt), A.new_empty(A.shape), empty_tokens(B), ddt_bias


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, ctx.dt_softplus, ctx.backend = inputs
    ctx.save_for_backward(output, *tensors)


def _backward(ctx: Any, grad_h: Tensor) -> tuple[Any, ...]:
    h, *tensors = ctx.saved_tensors
    gradients = scan_states_backward(grad_h, h, *tensors, ctx.dt_softplus, ctx.backend)
    given = [None if x is None else gradient for x, gradient in zip(tensors, gradients, strict=True)]
    return (*given, None, None)


scan_states.register_autograd(_backward, setup_context=_setup_context)
