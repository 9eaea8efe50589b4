"""The scan of states as one torch operator: dispatch, fake and autograd. The backward pass reads the states given."""

from typing import Any

from torch import Tensor

from medssm.kernels.dispatch import Operator
from medssm.kernels.layout import empty_state_path, empty_tokens
from medssm.kernels.state_scan._tensors import StateTensors
from medssm.kernels.torch_operator import torch_operator

OPERATOR = Operator(
    "state_scan",
    {
        "native": "medssm.kernels.state_scan._native",
        "triton": "medssm.kernels.state_scan._triton",
        "reference": "medssm.kernels.state_scan._reference",
    },
)


TENSORS = "Tensor u, Tensor dt, Tensor A, Tensor B, Tensor? dt_bias"


def _forward_fake(u: Tensor, dt: Tensor, A: Tensor, *others: Any) -> Tensor:
    return empty_state_path(u, A.shape[1])


@torch_operator("state_scan", schema=f"({TENSORS}, bool dt_softplus, str backend) -> Tensor", fake=_forward_fake)
def state_scan_op(*arguments: Any) -> Tensor:
    """(batch, dim, state, length), the arguments those of `state_scan`, checked; an empty `backend` chooses."""
    *tensors, dt_softplus, backend = arguments
    inputs = StateTensors(*tensors)
    return OPERATOR.choose(backend, inputs.u.device, inputs).forward(inputs, dt_softplus)


def _backward_fake(grad_h: Tensor, h: Tensor, *arguments: Any) -> tuple[Tensor, ...]:
    u, dt, A, B, dt_bias, *_ = arguments
    ddt_bias = grad_h.new_empty(0) if dt_bias is None else dt_bias.new_empty(dt_bias.shape)
    return empty_tokens(u), empty_tokens(dt), A.new_empty(A.shape), empty_tokens(B), ddt_bias


@torch_operator(
    "state_scan_backward",
    schema=f"(Tensor grad_h, Tensor h, {TENSORS}, bool dt_softplus, str backend) -> "
    "(Tensor, Tensor, Tensor, Tensor, Tensor)",
    fake=_backward_fake,
)
def state_scan_backward_op(grad_h: Tensor, h: Tensor, *arguments: Any) -> tuple[Tensor, ...]:
    """Gradients of u, dt, A, B, dt_bias, each in its shape; an empty tensor for an absent bias."""
    *tensors, dt_softplus, backend = arguments
    inputs = StateTensors(*tensors)
    chosen = OPERATOR.choose(backend, inputs.u.device, inputs, grad_h, h)
    *gradients, ddt_bias = chosen.backward(grad_h, h, inputs, dt_softplus)
    return (*gradients, grad_h.new_empty(0) if ddt_bias is None else ddt_bias)


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, ctx.dt_softplus, ctx.backend = inputs
    ctx.save_for_backward(output, *tensors)


def _backward(ctx: Any, grad_h: Tensor) -> tuple[Any, ...]:
    h, *tensors = ctx.saved_tensors
    gradients = state_scan_backward_op(grad_h, h, *tensors, ctx.dt_softplus, ctx.backend)
    given = [None if x is None else gradient for x, gradient in zip(tensors, gradients, strict=True)]
    return (*given, None, None)


state_scan_op.register_autograd(_backward, setup_context=_setup_context)
