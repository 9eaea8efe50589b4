"""Means over cases and what stands beside them."""

import pytest

from medssm.metrics import OrganScore, summarise


def score(case: str, label: int, dice: float | None, status: str = "scored") -> OrganScore:
    distance = None if dice is None else 10 * (1 - dice)
    return OrganScore(case, label, f"organ {label}", status, dice, distance, dice, 1.0, 1.0)  # type: ignore[arg-type]


def test_missed_and_spurious_organs_are_in_the_mean_and_absent_ones_are_not() -> None:
    scores = [
        score("a", 1, 0.8),
        score("b", 1, 0.0, "missed"),
        score("c", 1, None, "absent"),
        score("d", 1, 0.0, "spurious"),
    ]
    row, _ = summarise(scores)
    assert (row.n, row.missed, row.absent, row.spurious) == (3, 1, 1, 1)
    assert row.dice.mean == pytest.approx(0.8 / 3)
    assert row.hd95.mean == pytest.approx((2 + 10 + 10) / 3)


def test_the_last_row_is_the_mean_over_cases_of_the_mean_over_organs() -> None:
    scores = [score("a", 1, 1.0), score("a", 2, None, "absent"), score("b", 1, 0.2), score("b", 2, 0.4)]
    overall = summarise(scores)[-1]
    assert overall.n == 2
    assert overall.dice.mean == pytest.approx((1.0 + 0.3) / 2)


def test_interval_holds_the_mean_and_is_the_same_each_time() -> None:
    scores = [score(str(case), 1, case / 20) for case in range(20)]
    first, again = summarise(scores)[0].dice, summarise(scores)[0].dice
    assert first == again
    assert first.low < first.mean < first.high  # type: ignore[operator]
    # The standard error of 20 evenly spaced values is 0.0645, so 95 % reach about 0.126 to each side.
    assert first.high - first.mean == pytest.approx(0.126, abs=0.015)  # type: ignore[operator]


def test_an_organ_that_no_case_has_gets_no_mean() -> None:
    row, overall = summarise([score("a", 1, None, "absent")])
    assert row.dice.mean is None
    assert overall.dice.mean is None
