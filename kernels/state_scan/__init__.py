"""The recurrence of a selective scan whose states are handed back themselves, to be mixed before they are read."""

import torch
from torch import Tensor

from medssm.kernels.errors import ShapeError
from medssm.kernels.state_scan._op import scan_states


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
    _check(u, dt, A, B, dt_bias)
    parameter_dtype = torch.float64 if u.dtype == torch.float64 else torch.float32
    dt_bias = None if dt_bias is None else dt_bias.to(parameter_dtype)
    return scan_states(u, dt, A.to(parameter_dtype), B, dt_bias, dt_softplus, backend or "")


def _check(u: Tensor, dt: Tensor, A: Tensor, B: Tensor, dt_bias: Tensor | None) -> None:
    if u.ndim != 3 or 0 in u.shape:
        raise ShapeError(f"u has shape {tuple(u.shape)}; it must be (batch, dim, length), none of them 0")
    batch, dim, length = u.shape
    if A.ndim != 2 or A.shape[0] != dim or A.shape[1] == 0:
        raise ShapeError(f"A has shape {tuple(A.shape)}; it must be ({dim}, state)")
    expected = {"dt": (dt, (batch, dim, length)), "B": (B, (batch, A.shape[1], length)), "dt_bias": (dt_bias, (dim,))}
    for name, (tensor, shape) in expected.items():
        if tensor is not None and tensor.shape != shape:
            raise ShapeError(f"{name} has shape {tuple(tensor.shape)}; with u {tuple(u.shape)} it must be {shape}")
    for name, tensor in {"dt": dt, "B": B}.items():
        if tensor.dtype != u.dtype:
            raise ShapeError(f"{name} is {tensor.dtype} but u is {u.dtype}; give them one dtype")
