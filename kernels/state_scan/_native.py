"""The scan of states on the CPU, in C++ (states_forward.cpp, states_backward.cpp)."""

import torch
from torch import Tensor

from medssm.kernels import native
from medssm.kernels.layout import empty_state_path, empty_tokens
from medssm.kernels.native.packing import address, merge, pack, partial_sum, strided
from medssm.kernels.native.slices import slice_channels, threads_for


def unavailable(device: torch.device) -> str | None:
    if device.type != "cpu":
        return "the native kernels run on the CPU only"
    return native.unavailable()


def unsupported(u: Tensor, *arguments: object) -> str | None:
    if u.dtype not in (torch.float32, torch.bfloat16):
        return f"the native scan takes float32 and bfloat16, not {u.dtype}"
    return None


def forward(u: Tensor, dt: Tensor, A: Tensor, B: Tensor, dt_bias: Tensor | None, dt_softplus: bool) -> Tensor:
    h = empty_state_path(u, A.shape[1])
    native.kernel("state_scan_forward")(pack(*strided(h), *_inputs(u, dt, A, B, dt_bias, dt_softplus)))
    return h


def backward(
    grad_h: Tensor,
    h: Tensor,
    u: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    dt_bias: Tensor | None,
    dt_softplus: bool,
) -> tuple[Tensor | None, ...]:
    batch, dim, _ = u.shape
    slices, slice_dim = slice_channels(dim, batch)
    du, ddt = empty_tokens(u), empty_tokens(dt)
    dA, dB = partial_sum(A.new_empty(A.shape), batch), partial_sum(empty_tokens(B), slices)
    ddt_bias = None if dt_bias is None else partial_sum(dt_bias.new_empty(dt_bias.shape), batch)
    sums = (address(dA[1]), 0 if ddt_bias is None else address(ddt_bias[1]), address(dB[1]))
    states = (*strided(grad_h), *strided(h))
    inputs = _inputs(u, dt, A, B, dt_bias, dt_softplus)
    native.kernel("state_scan_backward")(pack(*strided(du), *strided(ddt), *sums, slices, slice_dim, *states, *inputs))
    merge([x for x in (dA, dB, ddt_bias) if x is not None])
    return du, ddt, dA[0], dB[0], None if ddt_bias is None else ddt_bias[0]


def _inputs(u: Tensor, dt: Tensor, A: Tensor, B: Tensor, dt_bias: Tensor | None, dt_softplus: bool) -> tuple[int, ...]:
    """The fields of StateInputs in states.h."""
    batch, dim, length = u.shape
    state = A.shape[1]
    threads = threads_for(batch * dim * length * state)
    sizes = (batch, dim, length, state, dt_softplus, u.dtype == torch.bfloat16, threads)
    return *sizes, *strided(A), *strided(dt_bias, 1), *strided(u), *strided(dt), *strided(B[:, None])
