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
from medssm.kernels.triton_device import unavailable

__all__ = ["backward", "forward", "unavailable", "unsupported"]


def unsupported(u: Tensor, *arguments: object) -> str | None:
    return scan.unsupported(u)


def forward(u: Tensor, dt: Tensor, A: Tensor, B: Tensor, dt_bias: Tensor | None, dt_softplus: bool) -> Tensor:
    dim, state = A.shape
    h, _, _ = scan.forward(*_arguments(u, dt, A, B, dt_bias, dt_softplus), save_states=False)
    return h.transpose(1, 2).unflatten(2, (state, dim)).permute(0, 3, 2, 1)


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
    dim, state = A.shape
    grad_y = grad_h.transpose(1, 2).flatten(1, 2)
    arguments = _arguments(u, dt, A, B, dt_bias, dt_softplus)
    du, ddt, dA, dgroups, _, _, _, ddt_bias = scan.backward(grad_y, None, *arguments, _entering(h, A.dtype))
    assert du is not None
    assert ddt is not None
    assert dA is not None
    assert dgroups is not None
    du, ddt = (laid_out(x.unflatten(1, (state, dim)).sum(1)) for x in (du, ddt))
    ddt_bias = None if ddt_bias is None else ddt_bias.view(state, dim).sum(0)
    return du, ddt, dA.view(state, dim).T.contiguous(), empty_tokens(B).copy_(dgroups[:, :, 0]), ddt_bias


def _arguments(
    u: Tensor, dt: Tensor, A: Tensor, B: Tensor, dt_bias: Tensor | None, dt_softplus: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, None, None, Tensor | None, bool, Grid]:
    """Those of a selective scan of (state, dim) channels in as many groups as there are states."""
    batch, _, length = u.shape
    state = A.shape[1]
    u, dt = (x if state == 1 else x.repeat(1, state, 1) for x in (u, dt))
    dt_bias = None if dt_bias is None else dt_bias.repeat(state)
    C = u.new_ones(1).expand(batch, state, 1, length)
    line = Grid((length,), (0,), (False,))
    return u, dt, A.T.reshape(-1, 1), B[:, :, None], C, None, None, dt_bias, dt_softplus, line


def _entering(h: Tensor, dtype: torch.dtype) -> Tensor:
    """Checkpoints of the selective scan, the states before every chunk, from the states after every token."""
    after = h.permute(0, 3, 2, 1).flatten(2)
    before = after[:, CHUNK - 1 : -1 : CHUNK].to(dtype)
    return torch.cat([torch.zeros_like(after[:, :1], dtype=dtype), before], dim=1)[:, :, None].contiguous()
