"""The selective scan and its gradient as their equations, token by token, in plain PyTorch; any dtype and device.

Tensors are taken in the order of the visit, and their results put back where the tokens lie.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from medssm.kernels.anywhere import unavailable, unsupported
from medssm.kernels.grid import Grid
from medssm.kernels.layout import laid_out
from medssm.kernels.selective_scan._tensors import ScanTensors

__all__ = ["backward", "forward", "unavailable", "unsupported"]

CHUNK = 64  # tokens between two checkpoints, the same in every backend


def scan_equation(inputs: ScanTensors, dt_softplus: bool, grid: Grid) -> tuple[Tensor, Tensor, Tensor]:
    """Output, last state and the states entering each chunk; differentiable, in time linear in the length.

    Returns: (batch, dim, length), (batch, dim, state), (batch, chunks, state, dim).
    """
    u, dt, A, B, C, D, z, dt_bias = inputs
    u_visit, B_visit, C_visit = (_visit(x, A, grid) for x in (u, B, C))
    step = _step_size(_visit(dt, A, grid), dt_bias, dt_softplus)
    hs = _states(u_visit, step, A, B_visit)
    y = torch.stack([_read(h, C_t) for h, C_t in zip(hs[1:], C_visit.unbind(-1), strict=True)], dim=-1)
    if D is not None:
        y = y + D[:, None] * u_visit
    if z is not None:
        y = y * F.silu(_visit(z, A, grid))
    checkpoints = torch.stack([h.transpose(1, 2) for h in hs[:-1:CHUNK]], dim=1)
    return _put_back(y, grid).to(u.dtype), hs[-1], checkpoints


def forward(inputs: ScanTensors, dt_softplus: bool, grid: Grid, save_states: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Output (batch, dim, length), last state (batch, dim, state), states saved (batch, chunks, state, dim) or (0,)."""
    y, last_state, checkpoints = scan_equation(inputs, dt_softplus, grid)
    saved = checkpoints.contiguous() if save_states else last_state.new_empty(0)
    return laid_out(y), last_state.contiguous(), saved


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
    u_visit, B_visit, C_visit, grad = (_visit(x, A, grid) for x in (u, B, C, grad_y))
    raw_step = _visit(dt, A, grid)
    step = _step_size(raw_step, dt_bias, dt_softplus)
    hs = _states(u_visit, step, A, B_visit)
    dz = dD = ddt_bias = None
    if z is not None:
        gate = _visit(z, A, grid)
        y = torch.stack([_read(h, C_t) for h, C_t in zip(hs[1:], C_visit.unbind(-1), strict=True)], dim=-1)
        y = y if D is None else y + D[:, None] * u_visit
        sigmoid = torch.sigmoid(gate)
        dz = grad * y * sigmoid * (1 + gate * (1 - sigmoid))
        grad = grad * gate * sigmoid
    du, dstep, dB, dC = (torch.zeros_like(x) for x in (u_visit, step, B_visit, C_visit))
    if D is not None:
        du += D[:, None] * grad
        dD = (grad * u_visit).sum((0, 2))

    dA = torch.zeros_like(A)
    dh = torch.zeros_like(hs[0]) if grad_last_state is None else grad_last_state.to(A.dtype)
    for t in reversed(range(grid.length)):
        dh = dh + grad[..., t, None] * _per_channel(C_visit[..., t], A)
        dC[..., t] = _per_group(grad[..., t, None] * hs[t + 1], C)
        dB[..., t] = _per_group(dh * (step[..., t] * u_visit[..., t])[..., None], B)
        dx = (dh * _per_channel(B_visit[..., t], A)).sum(-1)
        decay = torch.exp(step[..., t, None] * A)
        dexponent = dh * decay * hs[t]
        dA += (dexponent * step[..., t, None]).sum(0)
        dstep[..., t] = (dexponent * A).sum(-1) + dx * u_visit[..., t]
        du[..., t] += dx * step[..., t]
        dh = dh * decay

    if dt_softplus:
        dstep *= torch.sigmoid(raw_step if dt_bias is None else raw_step + dt_bias[:, None])
    if dt_bias is not None:
        ddt_bias = dstep.sum((0, 2))
    du, dstep, dB, dC = (laid_out(_put_back(x, grid).to(u.dtype)) for x in (du, dstep, dB, dC))
    dz = None if dz is None else laid_out(_put_back(dz, grid).to(u.dtype))
    return ScanTensors(du, dstep, dA, dB, dC, dD, dz, ddt_bias)


def _visit(x: Tensor, A: Tensor, grid: Grid) -> Tensor:
    """The tokens in the order of the visit, in the dtype of the recurrence."""
    return x.to(A.dtype)[..., grid.visits(x.device).long()]


def _put_back(x: Tensor, grid: Grid) -> Tensor:
    return torch.empty_like(x).index_copy(-1, grid.visits(x.device).long(), x)


def _step_size(dt: Tensor, dt_bias: Tensor | None, dt_softplus: bool) -> Tensor:
    dt = dt if dt_bias is None else dt + dt_bias[:, None]
    return F.softplus(dt) if dt_softplus else dt


def _states(u: Tensor, step: Tensor, A: Tensor, B: Tensor) -> list[Tensor]:
    """h before the first token and after each: length + 1 tensors (batch, dim, state)."""
    hs = [A.new_zeros(u.shape[0], *A.shape)]
    for u_t, step_t, B_t in zip(u.unbind(-1), step.unbind(-1), B.unbind(-1), strict=True):
        hs.append(torch.exp(step_t[..., None] * A) * hs[-1] + (step_t * u_t)[..., None] * _per_channel(B_t, A))
    return hs


def _read(h: Tensor, C_t: Tensor) -> Tensor:
    return (h * _per_channel(C_t, h[0])).sum(-1)


def _per_channel(grouped: Tensor, A: Tensor) -> Tensor:
    """(batch, groups, state) -> (batch, dim, state), where A is (dim, state)."""
    return grouped.repeat_interleave(A.shape[0] // grouped.shape[1], dim=1)


def _per_group(x: Tensor, like: Tensor) -> Tensor:
    """Sum over the channels of each group: (batch, dim, state) -> (batch, groups, state)."""
    return x.unflatten(1, (like.shape[1], -1)).sum(2)
