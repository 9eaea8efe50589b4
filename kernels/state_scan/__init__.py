"""The recurrence of a selective scan whose states are handed back themselves, to be mixed before they are read."""

from torch import Tensor

from medssm.kernels.arguments import check_agreement, check_tensors, parameter_dtype, refuse_tangents
from medssm.kernels.errors import ShapeError
from medssm.kernels.grid import check_length
from medssm.kernels.state_scan._op import state_scan_op
from medssm.kernels.state_scan._tensors import StateTensors


def state_scan(
    u: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    dt_bias: Tensor | None = None,
    dt_softplus: bool = False,
    *,
    backend: str | None = None,
) -> Tensor:
    """States of the selective state-space recurrence along the last axis, after every token.

    h[t] = exp(dt[t] * A) * h[t-1] + dt[t] * B[t] * u[t],   h before the first token is 0

    Args:
        u, dt: (batch, dim, length), of one dtype; dt is the step size. Any strides: fastest when `dim` is contiguous
            in memory.
        A: (dim, state), real and negative.
        B: (batch, state, length), shared by all channels, of the dtype of u.
        dt_bias: (dim,), added to dt; None for none.
        dt_softplus: dt becomes softplus(dt + dt_bias).
        backend: a backend by name; None for the one of `use_backend`.

    Returns: h, (batch, dim, state, length) of the dtype of u, computed in float32 (float64 for float64 inputs). In
        memory it is (batch, length, state, dim), so that with one state `h[:, :, 0]` are channels-last tokens.
    Raises: ShapeError if sizes or dtypes disagree; BackendError if the backend cannot run here.
    Source: Xiao et al. 2024, arXiv:2410.15091 (Spatial-Mamba), section 3.
    """
    _check(StateTensors(u, dt, A, B, dt_bias))
    A, dt_bias = (None if x is None else x.to(parameter_dtype(u)) for x in (A, dt_bias))  # type: ignore[assignment]
    return state_scan_op(u, dt, A, B, dt_bias, dt_softplus, backend or "")


def _check(inputs: StateTensors) -> None:
    u, _, A, *_ = inputs
    check_tensors("state_scan", zip(inputs._fields, inputs, strict=True))
    refuse_tangents("state_scan", inputs)
    if u.ndim != 3 or 0 in u.shape[1:]:
        raise ShapeError(f"u has shape {tuple(u.shape)}; it must be (batch, dim, length), dim and length not 0")
    batch, dim, length = u.shape
    if A.ndim != 2 or A.shape[0] != dim or A.shape[1] == 0:
        raise ShapeError(f"A has shape {tuple(A.shape)}; it must be ({dim}, state)")
    expected = {"dt": (batch, dim, length), "B": (batch, A.shape[1], length), "dt_bias": (dim,)}
    check_agreement(inputs, expected, ("dt", "B"), "u")
    check_length(length)
