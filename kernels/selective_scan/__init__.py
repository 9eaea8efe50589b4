"""The selective scan along a line and along any order of an N-D grid."""

from collections.abc import Sequence
from typing import Any, Literal, overload

import torch
from torch import Tensor

from medssm.kernels.arguments import check_agreement, check_tensors, parameter_dtype, refuse_tangents
from medssm.kernels.errors import ShapeError
from medssm.kernels.grid import make_grid
from medssm.kernels.selective_scan._op import selective_scan_op
from medssm.kernels.selective_scan._tensors import ScanTensors


# The overloads tell the types of the two kinds of answer; the arguments are those of the definition.
@overload
def selective_scan(*arguments: Any, return_last_state: Literal[True], **settings: Any) -> tuple[Tensor, Tensor]: ...
@overload
def selective_scan(*arguments: Any, **settings: Any) -> Tensor: ...
def selective_scan(  # type: ignore[misc]
    u: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    dt_bias: Tensor | None = None,
    dt_softplus: bool = False,
    *,
    reverse: bool = False,
    return_last_state: bool = False,
    backend: str | None = None,
) -> Tensor | tuple[Tensor, Tensor]:
    """Output of the selective state-space recurrence along the last axis.

    h[t] = exp(dt[t] * A) * h[t-1] + dt[t] * B[t] * u[t],   y[t] = (C[t] . h[t] + D * u[t]) * silu(z[t])

    Args:
        u, dt, z: (batch, dim, length), of one dtype; dt is the step size. Any strides: fastest when `dim` is
            contiguous in memory.
        A: (dim, state), real and negative.
        B, C: (batch, groups, state, length), or (batch, state, length) for one group; groups divides dim.
        D: (dim,), the skip. z: the gate. dt_bias: (dim,), added to dt. None leaves a term out.
        dt_softplus: dt becomes softplus(dt + dt_bias).
        reverse: the recurrence runs from the last token to the first; tokens keep their places.
        return_last_state: also gives h after the last visited token.
        backend: a backend by name; None for the one of `use_backend`.

    Returns: y, (batch, dim, length), of the dtype of u; with the last state, (batch, dim, state) in float32
        (float64 for float64 inputs), if asked for.
    Raises: ShapeError if sizes or dtypes disagree; BackendError if the backend cannot run here.
    Source: Gu & Dao 2023, arXiv:2312.00752, algorithm 2.
    """
    return nd_selective_scan(
        u,
        dt,
        A,
        B,
        C,
        D,
        z,
        dt_bias,
        dt_softplus,
        shape=u.shape[-1:],
        axes=(0,),
        reverse=reverse,
        return_last_state=return_last_state,
        backend=backend,
    )


@overload
def nd_selective_scan(*arguments: Any, return_last_state: Literal[True], **settings: Any) -> tuple[Tensor, Tensor]: ...
@overload
def nd_selective_scan(*arguments: Any, **settings: Any) -> Tensor: ...
def nd_selective_scan(  # type: ignore[misc]
    u: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    dt_bias: Tensor | None = None,
    dt_softplus: bool = False,
    *,
    shape: Sequence[int],
    axes: Sequence[int],
    reverse: bool | Sequence[bool] = False,
    return_last_state: bool = False,
    backend: str | None = None,
) -> Tensor | tuple[Tensor, Tensor]:
    """The selective scan along an order of an N-D grid of tokens, walked by address, without copying activations.

    Args:
        u, dt, A, B, C, D, z, dt_bias, dt_softplus, return_last_state, backend: as in `selective_scan`; length is the
            number of tokens of the grid, stored with its last axis fastest.
        shape: tokens along each axis of the grid.
        axes: a permutation of the axes, from the slowest to the fastest of the visit.
        reverse: True walks the whole sequence backwards; or one bool for each axis of the grid.

    Returns: as `selective_scan`; every token's output lies where the token lies.
    Raises: ShapeError if sizes, dtypes, shape or axes disagree; BackendError if the backend cannot run here.
    Source: Li, Singh & Grover 2024, arXiv:2402.05892, section 3 (orders of Mamba-ND).
    """
    B, C = (x[:, None] if x.ndim == 3 else x for x in (B, C))
    _check(ScanTensors(u, dt, A, B, C, D, z, dt_bias))
    grid = make_grid(u.shape[2], shape, axes, reverse)
    A, D, dt_bias = (None if x is None else x.to(parameter_dtype(u)) for x in (A, D, dt_bias))  # type: ignore[assignment]
    inputs = ScanTensors(u, dt, A, B, C, D, z, dt_bias)
    save_states = torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in inputs)
    visit = (list(grid.shape), list(grid.axes), list(grid.reverse))
    y, last_state, _ = selective_scan_op(*inputs, dt_softplus, *visit, save_states, backend or "")
    return (y, last_state) if return_last_state else y


def _check(inputs: ScanTensors) -> None:
    u, A, B = inputs.u, inputs.A, inputs.B
    check_tensors("selective_scan", zip(inputs._fields, inputs, strict=True))
    refuse_tangents("selective_scan", inputs)
    if u.ndim != 3 or 0 in u.shape[1:]:
        raise ShapeError(f"u has shape {tuple(u.shape)}; it must be (batch, dim, length), dim and length not 0")
    batch, dim, length = u.shape
    if A.ndim != 2 or A.shape[0] != dim:
        raise ShapeError(f"A has shape {tuple(A.shape)}; it must be ({dim}, state)")
    if B.ndim != 4 or B.shape[1] == 0 or dim % B.shape[1]:
        raise ShapeError(
            f"B has shape {tuple(B.shape)}; it must be (batch, groups, state, length), groups dividing {dim}"
        )
    tokens, states = ("u", "dt", "z"), ("B", "C")
    expected: dict[str, tuple[int, ...]] = dict.fromkeys(tokens, (batch, dim, length))
    expected |= dict.fromkeys(states, (batch, B.shape[1], A.shape[1], length)) | dict.fromkeys(("D", "dt_bias"), (dim,))
    check_agreement(inputs, expected, (*tokens, *states), "u")
