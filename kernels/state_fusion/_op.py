"""State fusion as one torch operator of h and scaled kernels: dispatch, fake and autograd."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from medssm.kernels.dispatch import Operator
from medssm.kernels.layout import empty_tokens
from medssm.kernels.torch_operator import torch_operator

OPERATOR = Operator(
    "state_fusion",
    {
        "native": "medssm.kernels.state_fusion._native",
        "triton": "medssm.kernels.state_fusion._triton",
        "reference": "medssm.kernels.state_fusion._reference",
    },
)


def _forward_fake(h: Tensor, *settings: Any) -> Tensor:
    return empty_tokens(h)


@torch_operator("state_fusion", fake=_forward_fake)
def state_fusion_op(h: Tensor, weights: Tensor, shape: Sequence[int], dilations: Sequence[int], backend: str) -> Tensor:
    """(batch, dim, length), channels-last in memory.

    Args:
        h, shape, dilations, backend: as for `state_fusion`, checked; an empty `backend` chooses.
        weights: (dilations, dim, 3, 3), the kernels times alpha.
    """
    return OPERATOR.choose(backend, h.device, h, weights).forward(h, weights, tuple(shape), tuple(dilations))


def _backward_fake(grad: Tensor, h: Tensor, weights: Tensor, *settings: Any) -> tuple[Tensor, Tensor]:
    return empty_tokens(h), weights.new_empty(weights.shape)


@torch_operator("state_fusion_backward", fake=_backward_fake)
def state_fusion_backward_op(
    grad: Tensor, h: Tensor, weights: Tensor, shape: Sequence[int], dilations: Sequence[int], backend: str
) -> tuple[Tensor, Tensor]:
    """Gradients of h, (batch, dim, length), and weights, (dilations, dim, 3, 3)."""
    chosen = OPERATOR.choose(backend, h.device, h, weights, grad)
    return chosen.backward(grad, h, weights, tuple(shape), tuple(dilations))


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    h, weights, *ctx.settings = inputs
    ctx.save_for_backward(h, weights)


def _backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    h, weights = ctx.saved_tensors
    return (*state_fusion_backward_op(grad, h, weights, *ctx.settings), *[None] * len(ctx.settings))


state_fusion_op.register_autograd(_backward, setup_context=_setup_context)
