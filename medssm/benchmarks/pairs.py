"""Two ways of computing the same, timed in turn in one process."""

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

# One of the two ways: computes and gives its results.
Side = Callable[[], Sequence[Tensor]]
# Seconds that a call of a side takes, the mean of a number of calls.
Clock = Callable[[Side, int], float]

SAMPLE = 0.02  # seconds; what takes less is called several times and the mean counts
SLOW, SLOW_REPEATS = 10.0, 3  # where a side takes so many seconds, so many repetitions do


class Spread(NamedTuple):
    """The smallest, middle and largest of several figures."""

    min: float
    median: float
    max: float


def spread(figures: Sequence[float]) -> Spread:
    return Spread(min(figures), statistics.median(figures), max(figures))


@dataclass(frozen=True)
class Pairs:
    """Seconds of both sides; entries of the same place were taken one after the other.

    Attributes:
        other: empty where the other side is not installed.
    """

    ours: tuple[float, ...]
    other: tuple[float, ...]

    @property
    def ratios(self) -> Spread | None:
        """How many times faster ours is, over the repetitions; None where there is no other side."""
        if not self.other:
            return None
        return spread([other / ours for ours, other in zip(self.ours, self.other, strict=True)])


def by_the_clock(side: Side, calls: int) -> float:
    """The mean time of a call on the CPU."""
    start = time.perf_counter()
    for _ in range(calls):
        side()
    return (time.perf_counter() - start) / calls


def time_pairs(
    ours: Side,
    other: Side | None,
    repeats: int,
    *,
    clock: Clock = by_the_clock,
    between: Callable[[], None] | None = None,
) -> tuple[Pairs, float]:
    """Times of both, taken in turn after a warm-up, and the largest relative difference of their results.

    Args:
        other: None to time ours alone; the difference is 0 then.
        repeats: of each; no more than SLOW_REPEATS where one takes longer than SLOW.
        between: run after every sample of ours.
    """
    sides = [ours] if other is None else [ours, other]
    first = [_timed(side) for side in sides]
    difference = largest_difference(*(first[0][1], first[-1][1]))
    longest = max(seconds for seconds, _ in first)
    calls = [_calls(side, seconds, clock) for side, (seconds, _) in zip(sides, first, strict=True)]
    del first
    samples: list[list[float]] = [[], []]
    for _ in range(min(repeats, SLOW_REPEATS) if longest > SLOW else repeats):
        for side, count, taken in zip(sides, calls, samples, strict=False):
            taken.append(clock(side, count))
            if between and side is ours:
                between()
    return Pairs(tuple(samples[0]), tuple(samples[1])), difference


def largest_difference(ours: Sequence[Tensor], other: Sequence[Tensor]) -> float:
    """The largest over the tensors of the largest difference, relative to the tensor's largest entry."""
    return max(
        ((mine - theirs).abs().max() / theirs.abs().max()).item() for mine, theirs in zip(ours, other, strict=True)
    )


def _timed(side: Side) -> tuple[float, Sequence[Tensor]]:
    start = time.perf_counter()
    results = side()
    if results[0].is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - start, results


def _calls(side: Side, first: float, clock: Clock) -> int:
    """Calls that fill a sample; the first one, which may have set things up, only tells long ones."""
    seconds = first if first > 10 * SAMPLE else clock(side, 1)
    return max(1, math.ceil(SAMPLE / seconds))
