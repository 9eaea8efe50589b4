"""The selective scan on the CPU, in C++ (scan_forward.cpp, scan_backward.cpp)."""

import torch
from torch import Tensor

from medssm.kernels.grid import Grid
from medssm.kernels.layout import empty_states, empty_tokens
from medssm.kernels.native import kernel, unavailable
from medssm.kernels.native.packing import address, merge, pack, partial_sum, strided, visits_table
from medssm.kernels.native.slices import slice_channels, threads_for
from medssm.kernels.selective_scan._reference import CHUNK
from medssm.kernels.selective_scan._tensors import ScanTensors

__all__ = ["backward", "forward", "unavailable", "unsupported"]


def unsupported(inputs: ScanTensors, *others: object) -> str | None:
    """Why this backend cannot take u (batch, dim, length) and its like; None if it can."""
    if inputs.u.dtype not in (torch.float32, torch.bfloat16):
        return f"the native scan takes float32 and bfloat16, not {inputs.u.dtype}"
    return None


def forward(inputs: ScanTensors, dt_softplus: bool, grid: Grid, save_states: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Output (batch, dim, length), last state (batch, dim, state), states saved (batch, chunks, state, dim) or (0,)."""
    u, _, A, *_ = inputs
    batch, dim, length = u.shape
    state = A.shape[1]
    y = empty_tokens(u)
    last_state = A.new_empty(batch, dim, state)
    checkpoints = A.new_empty((batch, -(-length // CHUNK), state, dim) if save_states else 0)
    visits = visits_table(grid)
    saved = address(checkpoints) if save_states else 0
    outputs = (*strided(y), address(last_state), saved)
    kernel("selective_scan_forward")(pack(*outputs, *_fields(inputs, dt_softplus, visits)))
    return y, last_state, checkpoints


def backward(
    grad_y: Tensor,
    grad_last_state: Tensor | None,
    inputs: ScanTensors,
    dt_softplus: bool,
    grid: Grid,
    checkpoints: Tensor,
) -> ScanTensors:
    """Gradients like the inputs, by those of the output (batch, dim, length) and last state (batch, dim, state)."""
    u, dt, A, B, C, D, z, dt_bias = inputs
    batch, groups = B.shape[:2]
    slices, slice_dim = slice_channels(u.shape[1] // groups, batch * groups)
    du, ddt, dz = (None if x is None else empty_tokens(x) for x in (u, dt, z))
    dA, dD, ddt_bias = (None if x is None else partial_sum(x.new_empty(x.shape), batch) for x in (A, D, dt_bias))
    dB, dC = (partial_sum(empty_states(x), slices) for x in (B, C))
    sums = (dA, dD, ddt_bias, dB, dC)

    outputs = (*strided(du), *strided(ddt), *strided(dz, 3), *(0 if x is None else address(x[1]) for x in sums))
    visits = visits_table(grid)
    fields = _fields(inputs, dt_softplus, visits)
    grad_last_state = None if grad_last_state is None else grad_last_state.contiguous()
    states = (address(checkpoints), address(grad_last_state))
    kernel("selective_scan_backward")(pack(*outputs, *states, slices, slice_dim, *strided(grad_y), *fields))
    merge([x for x in sums if x is not None])
    summed = [None if x is None else x[0] for x in sums]  # of A, D, dt_bias, B, C
    return ScanTensors(du, ddt, summed[0], summed[3], summed[4], summed[1], dz, summed[2])  # type: ignore[arg-type]


def _fields(inputs: ScanTensors, dt_softplus: bool, visits: Tensor | None) -> tuple[int, ...]:
    """Those of ScanInputs in scan.h."""
    u, dt, A, B, C, D, z, dt_bias = inputs
    batch, dim, length = u.shape
    state = A.shape[1]
    threads = threads_for(batch * dim * length * state)
    sizes = (batch, dim, length, state, B.shape[1], dt_softplus, u.dtype == torch.bfloat16, threads)
    parameters = (*strided(A, 2), *strided(D, 1), *strided(dt_bias, 1))
    return *sizes, address(visits), *parameters, *strided(u), *strided(dt), *strided(z, 3), *strided(B), *strided(C)
