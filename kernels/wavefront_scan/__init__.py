"""The selective recurrence over a two-dimensional grid, each cell fed by the one above and the one to the left."""

from collections.abc import Sequence

import torch
from torch import Tensor

from medssm.kernels.arguments import check_agreement, check_tensors, parameter_dtype, refuse_tangents
from medssm.kernels.errors import ShapeError
from medssm.kernels.grid import make_grid
from medssm.kernels.wavefront_scan._op import wavefront_scan_op
from medssm.kernels.wavefront_scan._tensors import GridTensors


def wavefront_scan(
    x: Tensor,
    dt_top: Tensor,
    dt_left: Tensor,
    A_top: Tensor,
    A_left: Tensor,
    B_top: Tensor,
    B_left: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    dt_bias_top: Tensor | None = None,
    dt_bias_left: Tensor | None = None,
    dt_softplus: bool = False,
    *,
    shape: Sequence[int],
    reverse: bool = False,
    backend: str | None = None,
) -> Tensor:
    """Output of the selective state-space recurrence over a grid of cells (i, j), each with two neighbours.

        top = exp(dt_top * A_top) * h[i-1, j] + dt_top * B_top * x
        left = exp(dt_left * A_left) * h[i, j-1] + dt_left * B_left * x
        h[i, j] = (top + left) / 2,    y = C . h + D * x

    In the top row h is `left` alone and in the left column `top` alone, without the half; in the corner h is `left` of
    a zero state. So a grid of one row is a line with the parameters of `left`. For the gradient one row of states in
    eight is kept: state / 8 times the size of x.

    Args:
        x, dt_top, dt_left: (batch, dim, length), of one dtype; the cells of the grid, row after row. dt is the step
            size. Any strides: fastest when `dim` is contiguous in memory.
        A_top, A_left: (dim, state), real and negative.
        B_top, B_left, C: (batch, state, length). Both B may be one tensor.
        D: (dim,), the skip. dt_bias_top, dt_bias_left: (dim,), added to dt. None leaves a term out.
        dt_softplus: dt becomes softplus(dt + dt_bias).
        shape: (height, width) of the grid.
        reverse: the recurrence runs from the bottom right corner, each cell fed by the one below and the one to the
            right; cells keep their places.
        backend: a backend by name; None for the one of `use_backend`.

    Returns: y, (batch, dim, length), of the dtype of x. The states are float32 (float64 for float64 inputs).
    Raises: ShapeError if sizes or dtypes disagree; BackendError if the backend cannot run here.
    Source: Mamba2D, arXiv:2412.16146, as its released code computes it.
    """
    inputs = GridTensors(x, dt_top, dt_left, A_top, A_left, B_top, B_left, C, D, dt_bias_top, dt_bias_left)
    _check(inputs)
    if len(shape) != 2:
        raise ShapeError(f"shape {tuple(shape)} has {len(shape)} axes; it must be (height, width)")
    grid = make_grid(x.shape[2], shape, None, reverse)
    save_states = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in inputs)
    y, _ = wavefront_scan_op(
        *_parameters_in_float(inputs), dt_softplus, list(grid.shape), reverse, save_states, backend or ""
    )
    return y


def _parameters_in_float(inputs: GridTensors) -> GridTensors:
    """A, D and dt_bias in the dtype of the recurrence."""
    dtype = parameter_dtype(inputs.x)
    return inputs._replace(
        A_top=inputs.A_top.to(dtype),
        A_left=inputs.A_left.to(dtype),
        D=None if inputs.D is None else inputs.D.to(dtype),
        dt_bias_top=None if inputs.dt_bias_top is None else inputs.dt_bias_top.to(dtype),
        dt_bias_left=None if inputs.dt_bias_left is None else inputs.dt_bias_left.to(dtype),
    )


def _check(inputs: GridTensors) -> None:
    x = inputs.x
    check_tensors("wavefront_scan", zip(inputs._fields, inputs, strict=True))
    refuse_tangents("wavefront_scan", inputs)
    if x.ndim != 3 or 0 in x.shape[1:]:
        raise ShapeError(f"x has shape {tuple(x.shape)}; it must be (batch, dim, length), dim and length not 0")
    batch, dim, length = x.shape
    if inputs.A_top.ndim != 2 or inputs.A_top.shape[0] != dim or inputs.A_top.shape[1] == 0:
        raise ShapeError(f"A_top has shape {tuple(inputs.A_top.shape)}; it must be ({dim}, state)")
    state = inputs.A_top.shape[1]
    tokens, states = ("x", "dt_top", "dt_left"), ("B_top", "B_left", "C")
    expected: dict[str, tuple[int, ...]] = dict.fromkeys(tokens, (batch, dim, length))
    expected |= dict.fromkeys(states, (batch, state, length)) | {"A_left": (dim, state)}
    expected |= dict.fromkeys(("D", "dt_bias_top", "dt_bias_left"), (dim,))
    check_agreement(inputs, expected, (*tokens, *states), "x", state)
