"""The scan of states and its gradient as their equations, token by token, in plain PyTorch; any dtype and device."""

import torch
from torch import Tensor
from torch.nn import functional as F

from medssm.kernels.anywhere import unavailable, unsupported
from medssm.kernels.layout import laid_out
from medssm.kernels.state_scan._tensors import StateTensors

__all__ = ["backward", "forward", "unavailable", "unsupported"]


def states_equation(inputs: StateTensors, dt_softplus: bool) -> Tensor:
    """The states (batch, dim, state, length); differentiable, in time linear in the length."""
    u, dt, A, B, dt_bias = inputs
    step = _step_size(dt.to(A.dtype), dt_bias, dt_softplus)
    h = A.new_zeros(u.shape[0], *A.T.shape)
    hs = []
    for u_t, step_t, B_t in zip(u.to(A.dtype).unbind(-1), step.unbind(-1), B.to(A.dtype).unbind(-1), strict=True):
        h = torch.exp(step_t[:, None] * A.T) * h + (step_t * u_t)[:, None] * B_t[..., None]
        hs.append(h)
    return torch.stack(hs, dim=1).permute(0, 3, 2, 1).to(u.dtype)


def forward(inputs: StateTensors, dt_softplus: bool) -> Tensor:
    """The states (batch, dim, state, length)."""
    return states_equation(inputs, dt_softplus)


def backward(grad_h: Tensor, h: Tensor, inputs: StateTensors, dt_softplus: bool) -> StateTensors:
    """Gradients like the inputs, by that of the states (batch, dim, state, length)."""
    u, dt, A, B, dt_bias = inputs
    grad, hs, us, raw_step, Bs = (x.to(A.dtype) for x in (grad_h, h, u, dt, B))
    step = _step_size(raw_step, dt_bias, dt_softplus)
    du, dstep, dB = (torch.zeros_like(x) for x in (us, step, Bs))
    dA, dh, first = torch.zeros_like(A), torch.zeros_like(hs[..., 0]), torch.zeros_like(hs[..., 0])
    for t in reversed(range(u.shape[2])):
        dh = dh + grad[..., t]
        dB[..., t] = (dh * (step[..., t] * us[..., t])[..., None]).sum(1)
        dx = (dh * Bs[:, None, :, t]).sum(-1)
        decay = torch.exp(step[..., t, None] * A)
        dexponent = dh * decay * (hs[..., t - 1] if t else first)
        dA += (dexponent * step[..., t, None]).sum(0)
        dstep[..., t] = (dexponent * A).sum(-1) + dx * us[..., t]
        du[..., t] = dx * step[..., t]
        dh = dh * decay
    if dt_softplus:
        dstep *= torch.sigmoid(raw_step if dt_bias is None else raw_step + dt_bias[:, None])
    ddt_bias = None if dt_bias is None else dstep.sum((0, 2))
    du, dstep, dB = (laid_out(x.to(u.dtype)) for x in (du, dstep, dB))
    return StateTensors(du, dstep, dA, dB, ddt_bias)


def _step_size(dt: Tensor, dt_bias: Tensor | None, dt_softplus: bool) -> Tensor:
    dt = dt if dt_bias is None else dt + dt_bias[:, None]
    return F.softplus(dt) if dt_softplus else dt
