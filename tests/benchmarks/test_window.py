"""The benchmark of one window, at a size that takes seconds."""

import pytest
import torch

from medssm.benchmarks.plain import PlainNetwork
from medssm.benchmarks.window import WindowTimes, measure_window
from medssm.errors import UsageError
from medssm.models import create_model


def test_plain_network_computes_the_same() -> None:
    torch.manual_seed(0)
    network = create_model("mamband-s").eval()
    image = torch.rand(1, 1, 32, 48, 32)
    with torch.no_grad():
        torch.testing.assert_close(PlainNetwork(network)(image), network(image), rtol=1e-4, atol=1e-4)


def test_network_without_a_full_resolution_decoder_is_refused() -> None:
    with pytest.raises(UsageError, match="full resolution"):
        PlainNetwork(create_model("mamband-xs"))


def test_report_holds_every_repetition_of_every_part() -> None:
    threads = torch.get_num_threads()
    report = measure_window("mamband-s", repeats=2, threads=1, window=(32, 32, 32))
    assert torch.get_num_threads() == threads
    assert report.threads == 1
    assert report.agreement > 0.999
    encoder, decoder, window = report.times
    for times in report.times:
        assert len(times.native) == len(times.plain) == 2
    for parts in zip(encoder.native, decoder.native, window.native, strict=True):
        assert parts[0] + parts[1] == pytest.approx(parts[2])


def test_ratios_are_of_neighbouring_repetitions() -> None:
    assert WindowTimes("decoder", native=(1.0, 2.0, 1.0), plain=(3.0, 4.0, 5.0)).ratios == (2.0, 3.0, 5.0)
