"""mamba_ssm's own CUDA kernel, where it is installed: tokens in memory order only."""

import torch
from torch import Tensor

from medssm.kernels.errors import BackendError
from medssm.kernels.foreign import Context, reason_against_package
from medssm.kernels.grid import Grid
from medssm.kernels.layout import laid_out
from medssm.kernels.selective_scan._reference import CHUNK
from medssm.kernels.selective_scan._tensors import ScanTensors


def unavailable(device: torch.device) -> str | None:
    return reason_against_package("mamba_ssm", "mamba_ssm.ops.selective_scan_interface", device)


def unsupported(inputs: ScanTensors, grid: Grid, *others: object) -> str | None:
    """Why this backend cannot take u (batch, dim, length) and its like; None if it can."""
    if not grid.is_identity:
        return "mamba_ssm scans in memory order only; another order would copy the activations"
    if inputs.u.dtype == torch.float64:
        return "mamba_ssm has no float64"
    if torch.are_deterministic_algorithms_enabled():
        return "mamba_ssm adds gradients in an order that varies, and deterministic algorithms were asked for"
    return None


def forward(inputs: ScanTensors, dt_softplus: bool, grid: Grid, save_states: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Output (batch, dim, length), last state (batch, dim, state), states saved (batch, chunks, state, dim) or (0,)."""
    from mamba_ssm.ops.selective_scan_interface import SelectiveScanFn

    y, last_state = SelectiveScanFn.forward(Context(), *inputs, dt_softplus, True)
    # mamba_ssm keeps no states of ours; the backward runs its forward again and never reads these.
    chunks = -(-grid.length // CHUNK)
    dim, state = inputs.A.shape
    shape = (inputs.u.shape[0], chunks, state, dim) if save_states else (0,)
    return laid_out(y), last_state.float().contiguous(), inputs.A.new_empty(shape)


def backward(
    grad_y: Tensor,
    grad_last_state: Tensor | None,
    inputs: ScanTensors,
    dt_softplus: bool,
    grid: Grid,
    checkpoints: Tensor,
) -> ScanTensors:
    """Gradients like the inputs, by those of the output (batch, dim, length) and last state (batch, dim, state)."""
    from mamba_ssm.ops.selective_scan_interface import SelectiveScanFn

    if grad_last_state is not None:
        raise BackendError("mamba_ssm gives no gradient for the last state; choose the triton backend for it")
    context = Context()
    SelectiveScanFn.forward(context, *inputs, dt_softplus, False)
    gradients = SelectiveScanFn.backward(context, grad_y)[:8]
    return ScanTensors(*(None if x is None else laid_out(x) for x in gradients))  # type: ignore[arg-type]
