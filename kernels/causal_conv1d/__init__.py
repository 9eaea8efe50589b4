"""The short depthwise causal convolution of a Mamba block, along any order of an N-D grid."""

from collections.abc import Sequence
from typing import Literal

from torch import Tensor

from medssm.kernels.arguments import check_tensors, parameter_dtype, refuse_tangents
from medssm.kernels.causal_conv1d._op import causal_conv1d_op
from medssm.kernels.errors import ShapeError
from medssm.kernels.grid import make_grid


def causal_conv1d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    activation: Literal["silu"] | None = None,
    shape: Sequence[int] | None = None,
    axes: Sequence[int] | None = None,
    reverse: bool | Sequence[bool] = False,
    backend: str | None = None,
) -> Tensor:
    """Each channel convolved with its own few taps over the tokens visited before, and activated.

    y[t] = activation(bias + sum_k weight[k] * x[t - width + 1 + k]), where t counts visited tokens and x is 0 before
    the first.

    Args:
        x: (batch, dim, length), any strides: fastest when `dim` is contiguous in memory.
        weight: (dim, width); the last tap multiplies the current token.
        bias: (dim,) or None.
        activation: "silu" or None.
        shape, axes, reverse: the grid and the order of visiting it, as in `nd_selective_scan`; a line by default.
        backend: a backend by name; None for the one of `use_backend`.

    Returns: (batch, dim, length), of the dtype of x; every token's output lies where the token lies.
    Raises: ShapeError if sizes disagree; BackendError if the backend cannot run here.
    Source: Gu & Dao 2023, arXiv:2312.00752, section 3.4 (the block's local convolution).
    """
    check_tensors("causal_conv1d", (("x", x), ("weight", weight), ("bias", bias)))
    refuse_tangents("causal_conv1d", (x, weight, bias))
    if x.ndim != 3 or 0 in x.shape[1:]:
        raise ShapeError(f"x has shape {tuple(x.shape)}; it must be (batch, dim, length), dim and length not 0")
    dim = x.shape[1]
    if weight.ndim != 2 or weight.shape[0] != dim or weight.shape[1] == 0:
        raise ShapeError(f"weight has shape {tuple(weight.shape)}; it must be ({dim}, width)")
    if bias is not None and bias.shape != (dim,):
        raise ShapeError(f"bias has shape {tuple(bias.shape)}; it must be ({dim},)")
    if activation not in (None, "silu"):
        raise ShapeError(f'activation is {activation!r}; it must be "silu" or None')
    grid = make_grid(x.shape[2], shape, axes, reverse)
    weight, bias = (None if t is None else t.to(parameter_dtype(x)) for t in (weight, bias))  # type: ignore[assignment]
    visit = (list(grid.shape), list(grid.axes), list(grid.reverse))
    return causal_conv1d_op(x, weight, bias, activation == "silu", *visit, backend or "")
