"""The scan over a grid as one torch operator: dispatch, fake and autograd."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from medssm.kernels.dispatch import Operator
from medssm.kernels.grid import Grid
from medssm.kernels.layout import empty_tokens
from medssm.kernels.wavefront_scan._inputs import Inputs
from medssm.kernels.wavefront_scan._reference import CHUNK_ROWS

OPERATOR = Operator(
    "wavefront_scan",
    {
        "native": "medssm.kernels.wavefront_scan._native",
        "triton": "medssm.kernels.wavefront_scan._triton",
        "reference": "medssm.kernels.wavefront_scan._reference",
    },
)


def _grid(shape: Sequence[int], reverse: bool) -> Grid:
    return Grid(tuple(shape), (0, 1), (reverse, reverse))


@torch.library.custom_op("medssm::wavefront_scan", mutates_args=())
def scan(
    x: Tensor,
    dt_top: Tensor,
    dt_left: Tensor,
    A_top: Tensor,
    A_left: Tensor,
    B_top: Tensor,
    B_left: Tensor,
    C: Tensor,
    D: Tensor | None,
    dt_bias_top: Tensor | None,
    dt_bias_left: Tensor | None,
    dt_softplus: bool,
    shape: Sequence[int],
    reverse: bool,
    save_states: bool,
    backend: str,
) -> tuple[Tensor, Tensor]:
    """Output (batch, dim, length), checkpoints (batch, chunks, width, state, dim).

    The arguments are those of `wavefront_scan`, checked; an empty `backend` means the one of `use_backend`.
    """
    inputs = Inputs(x, dt_top, dt_left, A_top, A_left, B_top, B_left, C, D, dt_bias_top, dt_bias_left)
    grid = _grid(shape, reverse)
    chosen = OPERATOR.choose(backend, x.device, inputs, grid)
    return chosen.forward(inputs, dt_softplus, grid, save_states)


@scan.register_fake
def _scan_fake(
    x: Tensor, dt_top: Tensor, dt_left: Tensor, A_top: Tensor, A_left: Tensor, *arguments: Any
) -> tuple[Tensor, Tensor]:
    *_, shape, _, save_states, _ = arguments
    height, width = shape
    chunks = (height - 1) // CHUNK_ROWS if save_states else 0
    return empty_tokens(x), A_top.new_empty(x.shape[0], chunks, width, A_top.shape[1], x.shape[1])


@torch.library.custom_op("medssm::wavefront_scan_backward", mutates_args=())
def scan_backward(
    grad_y: Tensor,
    x: Tensor,
    dt_top: Tensor,
    dt_left: Tensor,
    A_top: Tensor,
    A_left: Tensor,
    B_top: Tensor,
    B_left: Tensor,
    C: Tensor,
    D: Tensor | None,
    dt_bias_top: Tensor | None,
    dt_bias_left: Tensor | None,
    dt_softplus: bool,
    shape: Sequence[int],
    reverse: bool,
    checkpoints: Tensor,
    backend: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients of x, ..., dt_bias_left; an empty tensor for an input that is absent."""
    inputs = Inputs(x, dt_top, dt_left, A_top, A_left, B_top, B_left, C, D, dt_bias_top, dt_bias_left)
    grid = _grid(shape, reverse)
    chosen = OPERATOR.choose(backend, x.device, inputs, grid)
    gradients = chosen.backward(grad_y, inputs, dt_softplus, grid, checkpoints)
    return tuple(  # type: ignore[return-value]
        x.new_empty(0) if gradient is None else gradient for gradient in gradients
    )


@scan_backward.register_fake
def _scan_backward_fake(grad_y: Tensor, *arguments: Any) -> tuple[Tensor, ...]:
    tensors = arguments[: len(Inputs._fields)]
    absent = grad_y.new_empty(0)
    # of tokens and states, (batch, channels, length), or of a parameter
    return tuple(absent if t is None else empty_tokens(t) if t.ndim == 3 else t.new_empty(t.shape) for t in tensors)


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    *tensors, ctx.dt_softplus, ctx.shape, ctx.reverse, _, ctx.backend = inputs
    ctx.save_for_backward(*tensors, output[1])
    ctx.set_materialize_grads(False)


def _backward(ctx: Any, grad_y: Tensor | None, _: Tensor | None) -> tuple[Any, ...]:
    *tensors, checkpoints = ctx.saved_tensors
    if grad_y is None:
        grad_y = torch.zeros_like(tensors[0])
    gradients = scan_backward(grad_y, *tensors, ctx.dt_softplus, ctx.shape, ctx.reverse, checkpoints, ctx.backend)
    given = [None if t is None else gradient for t, gradient in zip(tensors, gradients, strict=True)]
    return (*given, None, None, None, None, None)


scan.register_autograd(_backward, setup_context=_setup_context)
