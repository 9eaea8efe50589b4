"""The benchmark of the scans, at sizes that take milliseconds."""

import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from medssm.benchmarks.gpu import measure_gpu_scans
from medssm.benchmarks.orders import ORDERS, Order, permuting, walking
from medssm.benchmarks.pairs import Pairs, by_the_clock, time_pairs
from medssm.benchmarks.roof import Rates, Roof
from medssm.benchmarks.scan import ND_SCAN, SCAN, ScanReport, Sizes, measure_scans, plain_scan
from medssm.benchmarks.scan_inputs import Size, make_inputs, scan_side
from medssm.benchmarks.targets import Target, scan_target
from medssm.errors import MedssmError
from medssm.kernels import native
from medssm.models.mamband import scan_order

TINY = Sizes(lines=(Size((5,), 32, 4, 2),), grids=(Size((2, 3, 4), 16),), convolutions=(Size((7,), 32),))


@pytest.fixture(scope="module")
def report() -> ScanReport:
    if reason := native.unavailable():
        pytest.skip(reason)
    return measure_scans(TINY, repeats=2, threads=1)


def test_every_row_agrees_with_its_other_side(report: ScanReport) -> None:
    assert len(report.rows) == TINY.rows
    assert all(row.difference < 1e-4 for row in report.rows)
    for row in report.rows:
        assert len(row.times.ours) == len(row.times.other) == 2
        assert min(row.times.ours + row.times.other) > 0


def test_threads_are_those_asked_for_and_put_back(report: ScanReport) -> None:
    assert report.machine.threads == 1
    assert torch.get_num_threads() == Roof().threads


def test_summary_is_of_the_orders_of_one_grid_and_direction(report: ScanReport) -> None:
    forward, both = report.orders
    assert (forward.backward, both.backward) == (False, True)
    for summary in report.orders:
        rows = [row for row in report.rows if row.operator == ND_SCAN and row.backward == summary.backward]
        medians = [row.times.ratios.median for row in rows if row.times.ratios]
        assert len(medians) == len(ORDERS) == 5
        assert summary.lowest == min(medians)
        assert summary.mean == pytest.approx(math.prod(medians) ** (1 / 5))


def test_share_is_what_the_rates_allow_over_what_was_taken(report: ScanReport) -> None:
    assert report.rates is not None
    assert report.rates.exp > 0 < report.rates.fma
    shared = [row for row in report.rows if row.shares]
    assert {row.operator for row in shared} == {SCAN, ND_SCAN}
    assert all(0 < row.shares.min <= row.shares.max for row in shared if row.shares)


def test_least_time_counts_exponentials_and_multiply_adds() -> None:
    only_exp, only_fma = Rates(exp=1.0, fma=math.inf), Rates(exp=math.inf, fma=1.0)
    # 2 * 3 * 5 = 30 channels of tokens with 7 states each
    assert only_exp.scan_seconds(2, 3, 5, 7, backward=False) == 30 * 7 + 30 * 2
    assert only_fma.scan_seconds(2, 3, 5, 7, backward=False) == 30 * 7 * 4 + 30 * 24
    assert only_exp.scan_seconds(2, 3, 5, 7, backward=True) == 2 * (30 * 7 + 30 * 2)
    assert only_fma.scan_seconds(2, 3, 5, 7, backward=True) == 30 * 7 * 24 + 30 * 64


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("channels_last", [True, False])
@pytest.mark.parametrize("order", ORDERS, ids=str)
def test_permuting_follows_the_order_that_is_walked(order: Order, channels_last: bool, backward: bool) -> None:
    size = Size((2, 3, 4), 8, state=4, batch=2)
    inputs = make_inputs(size)
    walked = scan_side(walking(size.shape, order, "reference"), inputs, backward)
    permuted = scan_side(permuting(size.shape, order, plain_scan, channels_last=channels_last), inputs, backward)
    for mine, theirs in zip(walked(), permuted(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)


def test_orders_are_those_of_the_model_but_the_first() -> None:
    assert [tuple(order) for order in ORDERS] == [tuple(scan_order(block)) for block in range(1, 6)]


def test_sides_take_turns_and_ratios_are_of_neighbours() -> None:
    turns = []

    def side(name: str, result: float) -> Sequence[Tensor]:
        turns.append(name)
        return [torch.tensor([result, 4.0])]

    seconds = iter([1.0, 1.0, 1.0, 3.0, 2.0, 4.0, 1.0, 5.0])
    times, difference = time_pairs(
        lambda: side("ours", 1.0), lambda: side("other", 2.0), 3, clock=lambda run, calls: (run(), next(seconds))[1]
    )
    # a warm-up, a call to learn how many fill a sample, and three times a call that does not count and one that does
    assert turns == ["ours", "other"] * 2 + ["ours", "ours", "other", "other"] * 3
    assert times == Pairs(ours=(1.0, 2.0, 1.0), other=(3.0, 4.0, 5.0))
    assert times.ratios == (2.0, 3.0, 5.0)
    assert difference == 0.25


def test_clock_gives_the_time_of_one_call() -> None:
    calls = []
    assert 0 < by_the_clock(lambda: calls.append(None) or [], 3) < 1
    assert len(calls) == 3


def test_targets_are_halved_without_avx512() -> None:
    assert scan_target(216, False, "avx512") == Target(32, 0.60)
    assert scan_target(216, False, "avx2") == Target(16, 0.60)
    assert scan_target(216, False, "baseline") == scan_target(217, False, "avx512") == Target()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here, which this does without")
def test_gpu_benchmark_without_a_gpu_says_so() -> None:
    with pytest.raises(MedssmError, match="no CUDA device"):
        measure_gpu_scans()
