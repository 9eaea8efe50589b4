"""Means over cases that say what they are means of."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from medssm.metrics.organ_scores import OrganScore

RESAMPLES = 2000
METRICS = ("dice", "hd95", "surface_dice")


class Mean(NamedTuple):
    """A mean over cases, with its 95 % bootstrap interval (percentiles of resampled means); None over no case."""

    mean: float | None
    low: float | None
    high: float | None


class OrganSummary(NamedTuple):
    """One organ over all cases, or all organs together.

    Attributes:
        organ: its name, or "mean of organs" for the mean over cases of each case's mean over its organs.
        n: cases in the means: every case where the reference or the prediction has the organ.
        missed: cases where the reference has it and the prediction has not; they are in the means as Dice 0, surface
            Dice 0 and an HD95 of the scan's diagonal.
        absent: cases where neither has it; they are in no mean.
        spurious: cases where the prediction has it and the reference has not; in the means as if missed.
    """

    organ: str
    n: int
    missed: int
    absent: int
    spurious: int
    dice: Mean
    hd95: Mean
    surface_dice: Mean


def summarise(scores: Sequence[OrganScore]) -> list[OrganSummary]:
    """A row for each organ, in the order of their labels, and a last one for all organs together."""
    organs = dict.fromkeys(score.organ for score in sorted(scores, key=lambda score: score.label))
    rows = []
    for organ in organs:
        of_organ = [score for score in scores if score.organ == organ]
        means = (_mean(getattr(score, metric) for score in of_organ) for metric in METRICS)
        rows.append(OrganSummary(organ, *_counts(of_organ), *means))
    cases = list(dict.fromkeys(score.case for score in scores))
    counts = _counts(scores)
    overall = (_mean(_case_mean(scores, case, metric) for case in cases) for metric in METRICS)
    return [*rows, OrganSummary("mean of organs", len(cases), *counts[1:], *overall)]


def _counts(scores: Sequence[OrganScore]) -> tuple[int, int, int, int]:
    missed, absent, spurious = (sum(s.status == status for s in scores) for status in ("missed", "absent", "spurious"))
    return len(scores) - absent, missed, absent, spurious


def _case_mean(scores: Sequence[OrganScore], case: str, metric: str) -> float | None:
    values = [getattr(score, metric) for score in scores if score.case == case and score.status != "absent"]
    return float(np.mean(values)) if values else None


def _mean(values: Iterable[float | None]) -> Mean:
    present = np.array([value for value in values if value is not None])
    if not present.size:
        return Mean(None, None, None)
    draws = np.random.default_rng(0).integers(present.size, size=(RESAMPLES, present.size))
    low, high = np.percentile(present[draws].mean(axis=1), [2.5, 97.5])
    return Mean(float(present.mean()), float(low), float(high))
