"""The benchmark of one window, at a size that takes seconds."""

import pytest
import torch

from medssm.benchmarks.plain import PlainNetwork
from medssm.benchmarks.window import DECODER, ENCODER, WINDOW, measure_window
from medssm.errors import UsageError
from medssm.models import fresh_model


def test_plain_network_computes_the_same() -> None:
    torch.manual_seed(0)
    network = fresh_model("mamband-s").eval()
    image = torch.rand(1, 1, 32, 48, 32)
    with torch.no_grad():
        torch.testing.assert_close(PlainNetwork(network)(image), network(image), rtol=1e-4, atol=1e-4)


def test_network_without_a_full_resolution_decoder_is_refused() -> None:
    with pytest.raises(UsageError, match="full resolution"):
        PlainNetwork(fresh_model("mamband-xs"))


def test_report_holds_every_repetition_of_every_part() -> None:
    threads = torch.get_num_threads()
    report = measure_window("mamband-s", repeats=2, threads=1, window=(32, 32, 32))
    assert torch.get_num_threads() == threads
    assert report.machine.threads == 1
    assert report.agreement > 0.999
    assert list(report.parts) == [ENCODER, DECODER, WINDOW]
    for times in report.parts.values():
        assert len(times.ours) == len(times.other) == 2
    for side in ("ours", "other"):
        seconds = [getattr(times, side) for times in report.parts.values()]
        for encoder, decoder, window in zip(*seconds, strict=True):
            assert 0 < encoder < window
            assert encoder + decoder == pytest.approx(window)
