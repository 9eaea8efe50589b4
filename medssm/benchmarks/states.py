"""Spatial-Mamba's two operators beside plain PyTorch, and how fast a machine could compute them.

The other side of `state_scan` is the reference kernel under autograd, the equation token by token; of `state_fusion`
torch's own padding and depthwise convolution, one for each dilation. A loop that finds decays and inputs of all tokens
at full size first, and then takes one `addcmul` a token, takes a fifth (batch 1) to two fifths (batch 8) of the
reference scan's time, a quarter to a third with its gradients. A scan with one state computes so little for what
it reads and writes that memory may be its limit: bytes are counted beside exponentials and multiply-adds.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from medssm.benchmarks.pairs import Side
from medssm.benchmarks.roof import Rates
from medssm.benchmarks.scan_inputs import Size, make_inputs
from medssm.kernels import state_fusion, state_scan
from medssm.kernels.state_fusion import _reference as convolutions
from medssm.kernels.state_scan import _reference as equation
from medssm.kernels.state_scan._tensors import StateTensors

STATE_SCAN, FUSION = "state_scan", "state_fusion"
DILATIONS = (1, 3, 5)
TAPS = 25  # distinct neighbours, the token itself among them


class Work(NamedTuple):
    """The least that a computation takes: exponentials, multiply-adds, and bytes read or written."""

    exp: int
    fma: int
    bytes: int

    def plus(self, other: "Work") -> "Work":
        return Work(*(a + b for a, b in zip(self, other, strict=True)))

    def seconds(self, rates: Rates) -> float:
        """By the machine's arithmetic alone."""
        return self.exp / rates.exp + self.fma / rates.fma


class Case(NamedTuple):
    """One size of one operator: both sides take the inputs and give one tensor."""

    operator: str
    inputs: tuple[Tensor, ...]
    ours: Callable[..., Tensor]
    other: Callable[..., Tensor]
    forward: Work
    gradient: Work

    def cost(self, backward: bool) -> Work:
        return self.forward.plus(self.gradient) if backward else self.forward

    def sides(self, backward: bool) -> tuple[Side, Side]:
        """Functions that give the output, or the gradients of all inputs, of ours and of the other."""
        if not backward:
            return _forward(self.ours, self.inputs), _forward(self.other, self.inputs)
        with torch.no_grad():
            grad = torch.randn_like(self.ours(*self.inputs))
        return _gradients(self.ours, self.inputs, grad), _gradients(self.other, self.inputs, grad)


def scan_case(size: Size) -> Case:
    """The inputs of an untrained block; steps, B and u as for a selective scan.

    Each state costs its decay, dt * A, (dt * u) * B and the update; each channel of a token a softplus and dt * u. The
    gradient takes the decay and softplus again, with its slope.
    """
    tokens = size.batch * size.dim * size.length
    states = tokens * size.state
    u, dt, A, B, *_, dt_bias = make_inputs(size)
    return Case(
        STATE_SCAN,
        (u, dt, A, B, dt_bias),
        lambda u, dt, A, B, dt_bias: state_scan(u, dt, A, B, dt_bias, True, backend="native"),
        lambda u, dt, A, B, dt_bias: equation.states_equation(StateTensors(u, dt, A, B, dt_bias), True),
        Work(states + tokens, 3 * states + 14 * tokens, 4 * (states + 2 * tokens)),
        Work(states + tokens, 8 * states + 26 * tokens, 4 * (2 * states + 4 * tokens)),
    )


def fusion_case(size: Size) -> Case:
    """States and kernels at random; a multiply-add for each tap, and twice as many for the gradients of both."""
    random = torch.Generator().manual_seed(0)
    height, width = size.shape
    tokens = size.batch * size.dim * size.length
    h = torch.randn(size.batch, size.length, size.dim, generator=random).transpose(1, 2)
    kernels = torch.randn(len(DILATIONS), size.dim, 3, 3, generator=random)
    return Case(
        FUSION,
        (h, kernels, torch.ones(len(DILATIONS))),
        lambda *inputs: state_fusion(*inputs, shape=(height, width), dilations=DILATIONS, backend="native"),
        lambda h, kernels, alpha: convolutions.fusion_equation(
            h, alpha[:, None, None, None] * kernels, (height, width), DILATIONS
        ),
        Work(0, TAPS * tokens, 4 * 2 * tokens),
        Work(0, 2 * TAPS * tokens, 4 * 3 * tokens),
    )


def _forward(compute: Callable[..., Tensor], inputs: tuple[Tensor, ...]) -> Side:
    def side() -> list[Tensor]:
        with torch.no_grad():
            return [compute(*inputs)]

    return side


def _gradients(compute: Callable[..., Tensor], inputs: tuple[Tensor, ...], grad: Tensor) -> Side:
    leaves = [x.detach().requires_grad_() for x in inputs]
    return lambda: list(torch.autograd.grad(compute(*leaves), leaves, grad))
