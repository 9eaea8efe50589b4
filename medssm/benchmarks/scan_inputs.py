"""What a Mamba block hands to its scan, with the layout that our modules give it."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from medssm.benchmarks.pairs import Side


class ScanInputs(NamedTuple):
    """The arguments of a gated scan, before its settings: (batch, dim, length); B and C (batch, state, length)."""

    u: Tensor
    dt: Tensor
    A: Tensor
    B: Tensor
    C: Tensor
    D: Tensor
    z: Tensor
    dt_bias: Tensor


Scan = Callable[[ScanInputs], Tensor]


@dataclass(frozen=True)
class Size:
    """Of one scan.

    Attributes:
        shape: of the grid of tokens; one number for a line.
    """

    shape: tuple[int, ...]
    dim: int
    state: int = 16
    batch: int = 1

    @property
    def length(self) -> int:
        return math.prod(self.shape)

    def __str__(self) -> str:
        tokens = "x".join(str(n) for n in self.shape)
        batch = f", batch {self.batch}" if self.batch > 1 else ""
        return f"L={tokens}, dim {self.dim}, N={self.state}{batch}"


def make_inputs(size: Size, device: str = "cpu") -> ScanInputs:
    """Seeded inputs, tokens channels-last: z, B and C are parts of wider projections, as in `MambaMixer`.

    A and the bias of dt are those of an untrained block: A = -1 ... -N, steps spread between 0.001 and 0.1.
    """
    random = torch.Generator().manual_seed(0)

    def projection(width: int) -> Tensor:
        return torch.randn(size.batch, size.length, width, generator=random).to(device).transpose(1, 2)

    rank = math.ceil(size.dim / 32)
    _, z = projection(2 * size.dim).chunk(2, dim=1)
    _, B, C = projection(rank + 2 * size.state).split([rank, size.state, size.state], dim=1)
    steps = torch.logspace(-3, -1, size.dim, device=device)
    return ScanInputs(
        u=projection(size.dim),
        dt=projection(size.dim),
        A=-torch.arange(1.0, size.state + 1, device=device).repeat(size.dim, 1),
        B=B,
        C=C,
        D=torch.ones(size.dim, device=device),
        z=z,
        dt_bias=steps + torch.log(-torch.expm1(-steps)),
    )


def scan_side(scan: Scan, inputs: ScanInputs, backward: bool) -> Side:
    """A function that gives the output of a scan, or the gradients of all its inputs."""
    if not backward:

        def forward() -> list[Tensor]:
            with torch.no_grad():
                return [scan(inputs)]

        return forward

    leaves = ScanInputs(*(x.detach().requires_grad_() for x in inputs))
    grad_y = inputs.dt  # any numbers with the layout of the output

    def forward_and_backward() -> list[Tensor]:
        return list(torch.autograd.grad(scan(leaves), leaves, grad_y))

    return forward_and_backward
