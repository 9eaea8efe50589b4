"""The scan of states on the CPU, in C++ (states_forward.cpp, states_backward.cpp)."""

import torch
from torch import Tensor

from medssm.kernels.layout import empty_state_path, empty_tokens
from medssm.kernels.native import kernel, unavailable
from medssm.kernels.native.packing import address, merge, pack, partial_sum, strided
from medssm.kernels.native.slices import slice_channels, threads_for
from medssm.kernels.state_scan._tensors import StateTensors

__all__ = ["backward", "forward", "unavailable", "unsupported"]


def unsupported(inputs: StateTensors, *others: object) -> str | None:
    """Why this backend cannot take u (batch, dim, length) and its like; None if it can."""
    if inputs.u.dtype not in (torch.float32, torch.bfloat16):
        return f"the native scan of states takes float32 and bfloat16, not {inputs.u.dtype}"
    return None


def forward(inputs: StateTensors, dt_softplus: bool) -> Tensor:
    """The states (batch, dim, state, length)."""
    h = empty_state_path(inputs.u, inputs.A.shape[1])
    kernel("state_scan_forward")(pack(*strided(h), *_fields(inputs, dt_softplus)))
    return h


def backward(grad_h: Tensor, h: Tensor, inputs: StateTensors, dt_softplus: bool) -> StateTensors:
    """Gradients like the inputs, by that of the states (batch, dim, state, length)."""
    u, dt, A, B, dt_bias = inputs
    batch, dim, _ = u.shape
    slices, slice_dim = slice_channels(dim, batch)
    du, ddt = empty_tokens(u), empty_tokens(dt)
    dA, dB = partial_sum(A.new_empty(A.shape), batch), partial_sum(empty_tokens(B), slices)
    ddt_bias = None if dt_bias is None else partial_sum(dt_bias.new_empty(dt_bias.shape), batch)
    sums = (address(dA[1]), 0 if ddt_bias is None else address(ddt_bias[1]), address(dB[1]))
    states = (*strided(grad_h), *strided(h))
    outputs = (*strided(du), *strided(ddt), *sums, slices, slice_dim)
    kernel("state_scan_backward")(pack(*outputs, *states, *_fields(inputs, dt_softplus)))
    merge([x for x in (dA, dB, ddt_bias) if x is not None])
    return StateTensors(du, ddt, dA[0], dB[0], None if ddt_bias is None else ddt_bias[0])


def _fields(inputs: StateTensors, dt_softplus: bool) -> tuple[int, ...]:
    """Those of StateInputs in states.h."""
    u, dt, A, B, dt_bias = inputs
    batch, dim, length = u.shape
    state = A.shape[1]
    threads = threads_for(batch * dim * length * state)
    sizes = (batch, dim, length, state, dt_softplus, u.dtype == torch.bfloat16, threads)
    return *sizes, *strided(A), *strided(dt_bias, 1), *strided(u), *strided(dt), *strided(B[:, None])
