"""The benchmark of memory: its process is really limited, and its report really its own."""

import sys

import pytest

from medssm.benchmarks.memory import GIB, measure_memory
from medssm.errors import MedssmError

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the limit on a process is Linux's")


def test_small_scan_stays_under_its_limit_and_its_estimate_is_near() -> None:
    report = measure_memory((100, 100, 120), classes=3, limit=2 * GIB)
    assert report.shape == (100, 100, 120)
    assert report.scores == 4 * 3 * 100 * 100 * 120
    assert 0 < report.peak <= report.limit
    assert 0.5 < report.peak / report.estimate < 1.5
    assert report.seconds > 0


def test_limit_that_is_too_small_ends_in_one_sentence() -> None:
    with pytest.raises(MedssmError, match=r"did not fit into 0\.50 GiB: .*"):
        measure_memory((100, 100, 120), classes=3, limit=GIB // 2)
