"""What the speed must be: the project's design targets, ratios on both cores of a two-core AVX-512 CPU."""

from typing import NamedTuple

SOURCE = "design targets"


class Target(NamedTuple):
    """The least that will do; None where nothing is asked.

    Attributes:
        ratio: how many times faster than the other side.
        share: of the speed that the machine's own exponentials and multiply-adds allow.
    """

    ratio: float | None = None
    share: float | None = None

    def halved(self) -> "Target":
        return self._replace(ratio=None if self.ratio is None else self.ratio / 2)


NONE = Target()
# Least geometric means over the orders of a grid, by its number of tokens and whether the backward pass is included.
Means = dict[tuple[int, bool], float]

# selective_scan beside the plain sequential scan, by the number of tokens and whether the backward pass is included.
SCAN = {
    (216, False): Target(32, 0.60),
    (196, False): Target(58),
    (784, False): Target(90, 0.60),
    (32768, False): Target(150, 0.60),
    (216, True): Target(38, 0.48),
    (196, True): Target(38),
    (784, True): Target(70, 0.48),
    (32768, True): Target(215, 0.55),
}

# nd_selective_scan beside permuting, over Mamba-ND's orders, and what no single order may be below.
ORDERS: Means = {(216, False): 1.45, (32768, False): 2.3, (216, True): 1.2, (32768, True): 1.2}
SLOWEST_ORDER = 1.1  # forward

STATE_SCAN = {(3136, False): Target(50)}  # beside the plain sequential scan, one state, as SCAN
WAVEFRONT = Target(75)  # wavefront_scan forward beside the plain anti-diagonal loop, at each of the sizes measured

GPU = 1.0  # no slower than mamba_ssm's kernel, in no order

WINDOW, PREDICT, STITCHING = 2.7, 2.6, 1.0
AGREEMENT = 0.999  # part of the voxels with the same label
MEMORY = 4 << 30  # bytes
SLEEPING_IDLE = 0.03  # by how much longer threads that sleep may take on an idle machine than threads that spin
START, LISTING = 0.7, 1.5  # seconds: of a prediction beyond importing torch, and of the list of models


def scan_target(length: int, backward: bool, instruction_set: str) -> Target:
    """The target of one size on this processor."""
    return on_processor(SCAN.get((length, backward), NONE), instruction_set)


def state_scan_target(length: int, backward: bool, instruction_set: str) -> Target:
    """The target of the scan of states of one size on this processor."""
    return on_processor(STATE_SCAN.get((length, backward), NONE), instruction_set)


def wavefront_target(instruction_set: str) -> Target:
    """The target of the scan over a grid on this processor."""
    return on_processor(WAVEFRONT, instruction_set)


def on_processor(target: Target, instruction_set: str) -> Target:
    """A target that was set with AVX-512: half the ratio with AVX2, none below."""
    if instruction_set == "avx512":
        return target
    return target.halved() if instruction_set == "avx2" else NONE
