"""The scan of states on GPUs, by the selective scan's Triton kernels: with C = 1 a scan of one state reads that state.

States never meet before they are read, so every state of a channel is a channel of its own, and those of one state are
a group that shares its B.
"""

import torch
from torch import Tensor

from medssm.kernels.grid import Grid
from medssm.kernels.layout import empty_tokens, laid_out
from medssm.kernels.selective_scan import _triton as scan
from medssm.kernels.selective_scan._reference import CHUNK
from medssm.kernels.selective_scan._tensors import ScanTensors
from medssm.kernels.state_scan._tensors import StateTensors
from medssm.kernels.triton_device import unavailable

__all__ = ["backward", "forward", "unavailable", "unsupported"]


def unsupported(inputs: StateTensors, *others: object) -> str | None:
    """Why this backend cannot take u (batch, dim, length) and its like; None if it can."""
    return scan.unsupported(inputs)


def forward(inputs: StateTensors, dt_softplus: bool) -> Tensor:
    """The states (batch, dim, state, length)."""
    dim, state = inputs.A.shape
    h, _, _ = scan.forward(_as_channels(inputs), dt_softplus, _line(inputs), save_states=False)
    return h.transpose(1, 2).unflatten(2, (state, dim)).permute(0, 3, 2, 1)


def backward(grad_h: Tensor, h: Tensor, inputs: StateTensors, dt_softplus: bool) -> StateTensors:
    """Gradients like the inputs, by that of the states (batch, dim, state, length)."""
    dim, state = inputs.A.shape
    grad_y = grad_h.transpose(1, 2).flatten(1, 2)
    entering = _entering(h, inputs.A.dtype)
    found = scan.backward(grad_y, None, _as_channels(inputs), dt_softplus, _line(inputs), entering)
    du, ddt = (laid_out(x.unflatten(1, (state, dim)).sum(1)) for x in (found.u, found.dt))
    dA, dB = found.A.view(state, dim).T.contiguous(), empty_tokens(inputs.B).copy_(found.B[:, :, 0])
    return StateTensors(du, ddt, dA, dB, None if found.dt_bias is None else found.dt_bias.view(state, dim).sum(0))


def _as_channels(inputs: StateTensors) -> ScanTensors:
    """Those of a selective scan of (state, dim) channels in as many groups as there are states."""
    u, dt, A, B, dt_bias = inputs
    state = A.shape[1]
    u, dt = (x if state == 1 else x.repeat(1, state, 1) for x in (u, dt))
    dt_bias = None if dt_bias is None else dt_bias.repeat(state)
    C = u.new_ones(1).expand(u.shape[0], state, 1, u.shape[2])
    return ScanTensors(u, dt, A.T.reshape(-1, 1), B[:, :, None], C, None, None, dt_bias)


def _line(inputs: StateTensors) -> Grid:
    return Grid(inputs.u.shape[2:], (0,), (False,))


def _entering(h: Tensor, dtype: torch.dtype) -> Tensor:
    """Checkpoints of the selective scan, the states before every chunk, from the states after every token."""
    after = h.permute(0, 3, 2, 1).flatten(2)
    before = after[:, CHUNK - 1 : -1 : CHUNK].to(dtype)
    return torch.cat([torch.zeros_like(after[:, :1], dtype=dtype), before], dim=1)[:, :, None].contiguous()
