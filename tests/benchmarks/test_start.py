"""The benchmark of starts: real processes, and a report that says what is late."""

from medssm.benchmarks.machine import this_machine
from medssm.benchmarks.start import MODELS, PREDICT, TORCH, StartReport, measure_start


def test_every_command_is_run_in_a_process_of_its_own() -> None:
    report = measure_start(repeats=1)
    assert list(report.seconds) == [TORCH, MODELS, PREDICT]
    assert all(len(seconds) == 1 and seconds[0] > 0 for seconds in report.seconds.values())


def test_the_report_holds_medians_against_the_targets() -> None:
    seconds = {TORCH: (1.0, 2.0, 9.0), MODELS: (1.4, 1.6, 1.6), PREDICT: (2.5, 2.6, 8.0)}
    report = StartReport(this_machine(), seconds)
    assert round(report.beyond_torch, 6) == 0.6
    assert report.reached == {MODELS: False, PREDICT: True}
