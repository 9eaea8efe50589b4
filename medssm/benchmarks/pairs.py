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
SHORT = 0.2  # seconds; what takes less gets a call that does not count before every sample
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


def repetitions(wanted: int, longest: float) -> int:
    """How many of each side, where the longest call takes so many seconds."""
    return wanted if longest <= SLOW else min(wanted, SLOW_REPEATS)


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
    first, results = _first_calls(sides)
    difference = largest_difference(results[0], results[-1])
    del results
    calls = [_calls(side, first[side], clock) for side in sides]
    samples: list[list[float]] = [[], []]
    for _ in range(repetitions(repeats, max(first.values()))):
        for side, count, taken in zip(sides, calls, samples, strict=False):
            if first[side] <= SHORT:
                side()  # so as not to pay for caches and memory as the other side left them
            taken.append(clock(side, count))
            if between and side is ours:
                between()
    return Pairs(tuple(samples[0]), tuple(samples[1])), difference


def largest_difference(ours: Sequence[Tensor], other: Sequence[Tensor]) -> float:
    """The largest difference between tensors of equal shapes, in pairs, relative to the other's largest entry."""
    return max(
        ((mine - theirs).abs().max() / theirs.abs().max()).item() for mine, theirs in zip(ours, other, strict=True)
    )


def _first_calls(sides: Sequence[Side]) -> tuple[dict[Side, float], list[Sequence[Tensor]]]:
    """Runs every side once: the seconds it took, and the results."""
    seconds, results = {}, []
    for side in sides:
        start = time.perf_counter()
        results.append(side())
        if results[-1][0].is_cuda:
            torch.cuda.synchronize()
        seconds[side] = time.perf_counter() - start
    return seconds, results


def _calls(side: Side, first: float, clock: Clock) -> int:
    """Calls that fill a sample; the first one, which may have set things up, only tells long ones."""
    seconds = first if first > SHORT else clock(side, 1)
    return max(1, math.ceil(SAMPLE / seconds))
