"""The rows of Spatial-Mamba's operators, at sizes that take milliseconds."""

import math

import pytest

from medssm.benchmarks.roof import Rates
from medssm.benchmarks.scan import ScanReport, Sizes, measure_scans
from medssm.benchmarks.scan_inputs import Size
from medssm.benchmarks.states import FUSION, STATE_SCAN, Work, fusion_case, scan_case
from medssm.benchmarks.tables import scan_tables
from medssm.benchmarks.targets import Target, state_scan_target
from medssm.kernels import native

TINY = Sizes(lines=(), grids=(), convolutions=(), states=(Size((5,), 32, 1, 2),), fusions=(Size((3, 4), 16, 1),))


@pytest.fixture(scope="module")
def report() -> ScanReport:
    if reason := native.unavailable():
        pytest.skip(reason)
    return measure_scans(TINY, repeats=2, threads=1)


def test_every_row_agrees_with_plain_torch(report: ScanReport) -> None:
    assert [(row.operator, row.backward) for row in report.rows] == [
        (STATE_SCAN, False),
        (STATE_SCAN, True),
        (FUSION, False),
        (FUSION, True),
    ]
    assert len(report.rows) == TINY.rows
    assert all(row.difference < 1e-4 for row in report.rows)


def test_shares_of_both_roofs_are_printed(report: ScanReport) -> None:
    columns = {column.header: list(column.cells) for column in scan_tables(report)[0].columns}
    for header in ("share of roof", "of memory"):
        assert all(cell.endswith("%") for cell in columns[header])


def test_cost_counts_states_and_channels_of_tokens() -> None:
    # 2 * 3 * 5 = 30 channels of tokens with 7 states each
    case = scan_case(Size((5,), 3, 7, 2))
    assert case.cost(backward=False) == Work(30 * 8, 30 * (21 + 14), 4 * 30 * (7 + 2))
    assert case.cost(backward=True) == Work(2 * 30 * 8, 30 * (11 * 7 + 40), 4 * 30 * (3 * 7 + 6))
    fusion = fusion_case(Size((3, 4), 2, 1))
    assert fusion.cost(backward=True) == Work(0, 3 * 25 * 24, 4 * 5 * 24)


def test_least_time_is_that_of_the_arithmetic() -> None:
    assert Work(3, 8, 100).seconds(Rates(exp=1.0, fma=4.0)) == 5
    assert Work(3, 8, 100).seconds(Rates(exp=math.inf, fma=4.0)) == 2


def test_target_is_of_the_forward_pass_over_3136_tokens() -> None:
    assert state_scan_target(3136, False, "avx512") == Target(50)
    assert state_scan_target(3136, False, "avx2") == Target(25)
    assert state_scan_target(3136, True, "avx512") == state_scan_target(784, False, "avx512") == Target()
