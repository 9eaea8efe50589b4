"""mamba_ssm's own CUDA kernel, where it is installed: tokens in memory order only."""

from functools import cache

import torch
from torch import Tensor

from medssm.kernels.errors import BackendError
from medssm.kernels.foreign import Context
from medssm.kernels.grid import Grid
from medssm.kernels.layout import laid_out
from medssm.kernels.selective_scan._reference import CHUNK


@cache
def _import_error() -> str | None:
    try:
        from mamba_ssm.ops.selective_scan_interface import SelectiveScanFn  # noqa: F401
    except Exception as error:  # a wheel built for another torch or CUDA fails in ways of its own
        return f"mamba_ssm does not load ({type(error).__name__}: {error}); pip install 'medssm[cuda]' installs it"
    return None


def unavailable(device: torch.device) -> str | None:
    if device.type != "cuda":
        return "mamba_ssm runs on CUDA devices only"
    return _import_error()


def unsupported(u: Tensor, *arguments: object) -> str | None:
    grid = arguments[-1]
    assert isinstance(grid, Grid)
    if not grid.is_identity:
        return "mamba_ssm scans in memory order only; another order would copy the activations"
    if u.dtype == torch.float64:
        return "mamba_ssm has no float64"
    if torch.are_deterministic_algorithms_enabled():
        return "mamba_ssm adds gradients in an order that varies, and deterministic algorithms were asked for"
    return None


def forward(
    u: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    z: Tensor | None,
    dt_bias: Tensor | None,
    dt_softplus: bool,
    grid: Grid,
    save_states: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    from mamba_ssm.ops.selective_scan_interface import SelectiveScanFn

    y, last_state = SelectiveScanFn.forward(Context(), u, dt, A, B, C, D, z, dt_bias, dt_softplus, True)
    # mamba_ssm keeps no states of ours; the backward runs its forward again and never reads these.
    chunks = -(-grid.length // CHUNK)
    shape = (u.shape[0], chunks, A.shape[1], A.shape[0]) if save_states else (0,)
    return laid_out(y), last_state.float().contiguous(), A.new_empty(shape)


def backward(
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
    grid: Grid,
    checkpoints: Tensor,
) -> tuple[Tensor | None, ...]:
    from mamba_ssm.ops.selective_scan_interface import SelectiveScanFn

    if grad_last_state is not None:
        raise BackendError("mamba_ssm gives no gradient for the last state; choose the triton backend for it")
    context = Context()
    SelectiveScanFn.forward(context, u, dt, A, B, C, D, z, dt_bias, dt_softplus, False)
    gradients = SelectiveScanFn.backward(context, grad_y)[:8]
    return tuple(None if x is None else laid_out(x) for x in gradients)
