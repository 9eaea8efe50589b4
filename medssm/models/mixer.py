"""The Mamba-1 mixer on a grid of tokens.

Tokens are (batch, length, d_model), channels last, in canonical order: the last axis of the grid is the fastest. An
order of visiting changes what the mixer computes, never where a token lies.
"""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from medssm.kernels import causal_conv1d, nd_selective_scan
from medssm.models.layers import narrowed

D_STATE = 16
D_CONV = 4
EXPAND = 2
DT_MIN, DT_MAX, DT_FLOOR = 1e-3, 1e-1, 1e-4


class ScanOrder(NamedTuple):
    """How a scan visits a grid: its axes from the slowest to the fastest, and whether the whole visit is reversed."""

    axes: tuple[int, ...]
    reverse: bool


class MambaMixer(nn.Module):
    """Gated selective state-space layer: tokens in, tokens out, mixed along one order of the grid.

    Args:
        d_model: width of the tokens.
        order: the order in which the grid is visited.

    Source: Gu & Dao 2023, arXiv:2312.00752, section 3.4; names of the entries as in mamba_ssm 1.x.
    """

    def __init__(self, d_model: int, order: ScanOrder) -> None:
        super().__init__()
        d_inner = EXPAND * d_model
        self.dt_rank = math.ceil(d_model / 16)
        self.order = order
        self.A_log = nn.Parameter(initial_A_log(d_inner, D_STATE))
        self.D = nn.Parameter(torch.ones(d_inner))
        self.in_proj = nn.Linear(d_model, 2 * d_inner, bias=False)
        self.conv1d = nn.Conv1d(d_inner, d_inner, D_CONV, groups=d_inner)
        self.x_proj = nn.Linear(d_inner, self.dt_rank + 2 * D_STATE, bias=False)
        self.dt_proj = nn.Linear(self.dt_rank, d_inner)
        self.out_proj = nn.Linear(d_inner, d_model, bias=False)
        initialise_dt(self.dt_proj.weight, self.dt_proj.bias)

    def forward(self, x: Tensor, shape: tuple[int, ...]) -> Tensor:
        """Mixed tokens, (batch, length, d_model), for tokens on a grid of `shape`.

        The kernels take (batch, dim, length); transposed views give them channels-last memory without a copy. A, D, the
        dt bias and the recurrence are float32 under any autocast; float16, whose range the states exceed, is widened.
        """
        visit: dict[str, Any] = {"shape": shape, "axes": self.order.axes, "reverse": self.order.reverse}
        u, z = widened(self.in_proj(x)).transpose(1, 2).chunk(2, dim=1)  # (batch, d_inner, length)
        u = causal_conv1d(u, self.conv1d.weight.squeeze(1), self.conv1d.bias, activation="silu", **visit)
        parameters = self.x_proj(narrowed(u.transpose(1, 2), self.x_proj.weight))
        low_rank, B, C = parameters.split([self.dt_rank, D_STATE, D_STATE], dim=-1)
        dt = functional.linear(low_rank, self.dt_proj.weight)
        dt, B, C = (widened(t).transpose(1, 2) for t in (dt, B, C))
        A = -self.A_log.float().exp()
        y = nd_selective_scan(u, dt, A, B, C, self.D, z, self.dt_proj.bias, dt_softplus=True, **visit)
        return self.out_proj(narrowed(y.transpose(1, 2), self.out_proj.weight))


def initial_A_log(d_inner: int, d_state: int) -> Tensor:
    """Logarithm of the decays 1 to d_state, alike in every channel; (d_inner, d_state).

    Computed on the CPU, wherever it goes: on the meta device torch would import its compiler for it, three seconds.
    """
    decays = torch.arange(1, d_state + 1, device="cpu").float()
    return decays.log().repeat(d_inner, 1).to(torch.get_default_device())


def initialise_dt(weight: Tensor, bias: Tensor) -> None:
    """Starts the projection of step sizes: log-uniform in [DT_MIN, DT_MAX]; the bias is their inverse softplus.

    On the meta device, where there are no values, nothing is drawn: torch would import its compiler for it.

    Args:
        weight: (..., dt_rank). bias: of any shape.
    """
    if weight.is_meta:
        return
    bound = weight.shape[-1] ** -0.5
    nn.init.uniform_(weight, -bound, bound)
    log_dt = torch.empty_like(bias).uniform_(math.log(DT_MIN), math.log(DT_MAX))
    dt = log_dt.exp().clamp(min=DT_FLOOR)
    with torch.no_grad():
        bias.copy_(dt + torch.log(-torch.expm1(-dt)))


def widened(x: Tensor) -> Tensor:
    """Activations of any shape as the kernels take them: float16, whose range the states exceed, as float32."""
    return x.float() if x.dtype == torch.float16 else x
