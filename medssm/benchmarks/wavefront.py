"""The scan over a grid as Mamba2D calls it, what it is held against, and how fast a machine could compute it.

The plain loop is Mamba2D's first release in PyTorch alone: decays and inputs of all cells at full size, then one
anti-diagonal after the other, its cells taken by index. The reference kernel computes them one anti-diagonal at a time
and takes about two fifths of the plain loop's time. Gradients are only held against the reference: autograd
through the plain loop's writes by index takes a pass over all cells at every anti-diagonal.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from medssm.benchmarks.pairs import Side
from medssm.benchmarks.roof import Rates
from medssm.benchmarks.scan_inputs import Size
from medssm.kernels import wavefront_scan


class WavefrontInputs(NamedTuple):
    """The arguments of the scan, before its settings: (batch, dim, length); B and C (batch, state, length)."""

    x: Tensor
    dt_top: Tensor
    dt_left: Tensor
    A_top: Tensor
    A_left: Tensor
    B_top: Tensor
    B_left: Tensor
    C: Tensor
    D: Tensor
    dt_bias_top: Tensor
    dt_bias_left: Tensor


Scan = Callable[[WavefrontInputs], Tensor]


def make_wavefront_inputs(size: Size) -> WavefrontInputs:
    """Seeded inputs, tokens channels-last, of an untrained block: both B and C are parts of one projection."""
    random = torch.Generator().manual_seed(0)

    def projection(width: int) -> Tensor:
        return torch.randn(size.batch, size.length, width, generator=random).transpose(1, 2)

    B_top, B_left, C = projection(3 * size.state).chunk(3, dim=1)
    A = -torch.arange(1.0, size.state + 1).repeat(size.dim, 1)
    steps = torch.logspace(-3, -1, size.dim)
    bias = steps + torch.log(-torch.expm1(-steps))
    x, dt_top, dt_left = (projection(size.dim) for _ in range(3))
    return WavefrontInputs(x, dt_top, dt_left, A, A, B_top, B_left, C, torch.ones(size.dim), bias, bias)


def kernel_scan(size: Size, backend: str) -> Scan:
    """The operator with one backend."""
    return lambda inputs: wavefront_scan(*inputs, dt_softplus=True, shape=size.shape, backend=backend)


def plain_loop(size: Size) -> Scan:
    """The equation, anti-diagonal by anti-diagonal."""
    height, width = size.shape
    return lambda inputs: _plain_loop(inputs, height, width)


def _plain_loop(inputs: WavefrontInputs, height: int, width: int) -> Tensor:
    def on_grid(tokens: Tensor) -> Tensor:
        return tokens.transpose(1, 2).unflatten(1, (height, width))  # (batch, height, width, channels)

    x, B_top, B_left, C = (on_grid(t) for t in (inputs.x, inputs.B_top, inputs.B_left, inputs.C))
    step_top = F.softplus(on_grid(inputs.dt_top) + inputs.dt_bias_top)[..., None]
    step_left = F.softplus(on_grid(inputs.dt_left) + inputs.dt_bias_left)[..., None]
    w_top, w_left = torch.full((2, height, width, 1, 1), 0.5)
    w_top[:, 0], w_top[0], w_left[:, 0], w_left[0] = 1, 0, 0, 1
    a_top, a_left = w_top * torch.exp(step_top * inputs.A_top), w_left * torch.exp(step_left * inputs.A_left)
    b = w_top * step_top * B_top[..., None, :] + w_left * step_left * B_left[..., None, :]
    b = b * x[..., None]
    h = x.new_zeros(x.shape[0], height + 1, width + 1, *inputs.A_top.shape)  # a row above and a column to the left
    for k in range(height + width - 1):
        i = torch.arange(max(0, k - width + 1), min(k, height - 1) + 1)
        j = k - i
        h[:, i + 1, j + 1] = a_top[:, i, j] * h[:, i, j + 1] + a_left[:, i, j] * h[:, i + 1, j] + b[:, i, j]
    y = (h[:, 1:, 1:] * C[..., None, :]).sum(-1) + inputs.D * x
    return y.flatten(1, 2).transpose(1, 2)


def wavefront_side(scan: Scan, inputs: WavefrontInputs, backward: bool) -> Side:
    """A function that gives the output of a scan, or the gradients of all its inputs."""
    if not backward:

        def forward() -> list[Tensor]:
            with torch.no_grad():
                return [scan(inputs)]

        return forward

    leaves = WavefrontInputs(*(t.detach().clone().requires_grad_() for t in inputs))
    grad_y = inputs.dt_top  # any numbers with the layout of the output
    return lambda: list(torch.autograd.grad(scan(leaves), leaves, grad_y))


def least_seconds(rates: Rates, size: Size, backward: bool) -> float:
    """The least time of a scan over a grid, with its gradient if `backward`.

    Each state: two exponentials; dt * A and (dt * x) * B of each axis, both decays times their states, and C * h. Each
    channel of a cell: a softplus for each axis. The gradient adds the exponentials again, the six multiply-adds that
    give the states, and of g, of both B, of C, of x, of both steps and of both A fifteen.
    """
    tokens = size.batch * size.dim * size.length
    states = tokens * size.state
    seconds = states * (2 / rates.exp + 7 / rates.fma) + tokens * (2 / rates.exp + 24 / rates.fma)
    if backward:
        seconds += states * (2 / rates.exp + 21 / rates.fma) + tokens * (4 / rates.exp + 60 / rates.fma)
    return seconds
