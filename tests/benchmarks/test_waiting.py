"""The benchmark of waiting threads: real processes, and a verdict only where it means something."""

import pytest

from medssm.benchmarks import waiting
from medssm.benchmarks.machine import this_machine
from medssm.benchmarks.tables import waiting_table
from medssm.benchmarks.waiting import ASLEEP, BUSY, ONE, QUIET, SPINNING, WaitingReport, WindowTime, measure_waiting


@pytest.mark.slow
def test_every_way_is_measured_alone_and_beside_busy_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "WINDOWS", 1)
    report = measure_waiting(repeats=1)
    for state in (QUIET, BUSY):
        for way in (ONE, SPINNING, ASLEEP):
            [sample] = report.samples[state][way]
            assert sample.seconds > 0
            assert sample.processor > 0
    assert report.samples[BUSY][ONE][0].others > 0.2


@pytest.mark.parametrize(("others", "verdict"), [(0.01, True), (0.4, None)])
def test_the_machine_must_be_quiet_for_a_verdict_on_a_quiet_one(others: float, verdict: bool | None) -> None:
    seconds = {QUIET: {ONE: 2.0, SPINNING: 1.0, ASLEEP: 1.02}, BUSY: {ONE: 3.0, SPINNING: 9.0, ASLEEP: 3.0}}
    samples = {
        state: {way: [WindowTime(one, one, others)] * 3 for way, one in ways.items()} for state, ways in seconds.items()
    }
    report = WaitingReport(this_machine(), samples)
    assert report.slower(QUIET, SPINNING).median == pytest.approx(1.02)
    assert report.reached == {QUIET: verdict, BUSY: True}
    assert waiting_table(report).row_count == 6
