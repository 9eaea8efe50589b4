"""Memory: what is estimated, what is held, and the passes that meet a bound."""

import mmap
import re
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from medssm.data.scans.volume import Volume
from medssm.errors import UsageError
from medssm.tasks.segmentation.memory import (
    activation_bytes,
    bands,
    fit_memory,
    parse_memory,
    process_memory,
)
from medssm.tasks.windows import Windows

WINDOWS = Windows((200, 180, 400), (96, 96, 96), 0.5)
GIB = 1 << 30


def test_the_ring_is_as_long_as_a_window_and_not_as_the_scan() -> None:
    short, long = (
        fit_memory(Windows((200, 180, n), (96, 96, 96)), (200, 180, n), 14, 0, None, held=0)[1] for n in (300, 3000)
    )
    assert short.ring == long.ring == 4 * 15 * 200 * 180 * 96
    assert long.total - short.total == 200 * 180 * 2700  # labels alone


def test_a_small_scan_needs_no_more_scores_than_it_has() -> None:
    small = fit_memory(Windows((40, 30, 20), (16, 16, 16)), (40, 30, 20), 14, 0, None, held=0)[1]
    assert small.restoring == 4 * 4 * 14 * 40 * 30 * 20


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits a process as Linux does")
def test_a_limit_on_the_address_space_is_what_a_process_can_have() -> None:
    code = (
        "import resource; from medssm.tasks.segmentation.memory import address_space_left, available_memory\n"
        "assert address_space_left() is None\n"
        "size = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (size + 200_000_000,) * 2)\n"
        "held = int(open('/proc/self/statm').read().split()[1]) * resource.getpagesize()\n"
        "print(address_space_left(), available_memory() - held)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert all(150_000_000 < int(room) < 250_000_000 for room in found)


def test_a_bound_that_is_met_takes_one_pass() -> None:
    passes, estimate = fit_memory(WINDOWS, WINDOWS.shape, 14, 0, 2 * GIB, held=GIB // 2)
    assert (len(passes), estimate.passes, estimate.windows) == (1, 1, len(WINDOWS))
    assert estimate.total <= 2 * GIB


def test_a_tighter_bound_takes_more_passes_and_more_windows() -> None:
    whole = fit_memory(WINDOWS, WINDOWS.shape, 14, 0, None, held=0)[1]
    passes, estimate = fit_memory(WINDOWS, WINDOWS.shape, 14, 0, whole.total - whole.ring // 3, held=0)
    assert estimate.passes == len(passes) == 2
    assert estimate.windows > whole.windows
    assert estimate.total <= whole.total - whole.ring // 3


def test_what_cannot_fit_is_refused_with_the_figure_it_needs() -> None:
    with pytest.raises(UsageError, match=r"at least 1\.\d\d GiB of memory are needed and the bound of --memory is 1"):
        fit_memory(WINDOWS, WINDOWS.shape, 14, 100 << 20, GIB, held=GIB)


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_bands_settle_every_plane(count: int) -> None:
    parts = [part.band or slice(0, 200) for part in bands(WINDOWS, count)]
    assert (parts[0].start, parts[-1].stop) == (0, 200)
    for before, after in pairwise(parts):
        assert after.start == before.stop - 1  # positions between the two planes belong to the first band


@pytest.mark.parametrize("passes", [2, 3, 5])
@pytest.mark.parametrize("spacing", [(1.5, 1.5, 2.0), (2.4, 1.1, 3.0)])
def test_passes_give_the_labels_of_one_pass(spacing, passes: int, make_predictor, plant, monkeypatch) -> None:
    volume = plant((25, 44, 60))
    predictor = make_predictor(spacing=spacing)
    torch.manual_seed(0)
    predictor.network = nn.Conv3d(1, 6, 3, padding=1).requires_grad_(False)
    expected = predictor.predict(volume, confidence=True)
    monkeypatch.setattr(
        "medssm.tasks.segmentation.runner.fit_memory",
        lambda windows, *arguments, **options: (bands(windows, passes), fit_memory(windows, *arguments, **options)[1]),
    )
    found = predictor.predict(volume, confidence=True)
    np.testing.assert_array_equal(found.labels, expected.labels)
    assert found.confidence == pytest.approx(expected.confidence)


def test_activations_are_counted_while_they_live() -> None:
    network = nn.Sequential(nn.Conv3d(1, 8, 3, padding=1), nn.ReLU(inplace=True), nn.Conv3d(8, 4, 3, padding=1))
    voxels = 20**3
    # The input, 8 maps and 4 maps live at once; the activation works in place.
    assert activation_bytes(network, (20, 20, 20), 1) == 4 * voxels * (1 + 8 + 4)
    assert activation_bytes(network, (20, 20, 20), 1, batch=3) == 3 * 4 * voxels * (1 + 8 + 4)


def test_tracing_leaves_the_network_as_it_was() -> None:
    network = nn.Conv3d(1, 2, 1)
    before = network.weight.clone()
    activation_bytes(network, (4, 4, 4), 1)
    assert torch.equal(network.weight, before)
    assert network.weight.device.type == "cpu"


@pytest.mark.parametrize(("text", "size"), [("4G", 4 * GIB), ("3.5 GiB", 3.5 * GIB), ("800m", 800 << 20), ("9e9", 9e9)])
def test_sizes_are_understood(text: str, size: float) -> None:
    assert parse_memory(text) == size


@pytest.mark.parametrize("text", ["", "much", "-4G", "0", "4 Q"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--memory"):
        parse_memory(text)


PROGRAM = """
import numpy as np, torch
from medssm.allocator import return_freed_memory
from medssm.data.scans.preprocessing import Preprocessing
from medssm.data.scans.volume import Volume
from medssm.tasks.segmentation.runner import Predictor
from medssm.tasks.segmentation.memory import process_memory

class Cheap(torch.nn.Module):
    def forward(self, windows):
        nearest = torch.linspace(0, 1, 14).view(1, -1, 1, 1, 1)
        return 2 * windows * nearest - nearest**2

assert return_freed_memory()
torch.set_num_threads(2)
shape = (192, 192, 192)
volume = Volume(np.random.default_rng(0).integers(-200, 300, shape, dtype=np.int16), np.diag([1.5, 1.5, 2.0, 1.0]))
predictor = Predictor(Cheap(), Preprocessing(), (48, 48, 48), 14, {k: str(k) for k in range(1, 14)}, device="cpu")
predictor.predict(Volume(volume.array[:50, :50, :50], volume.affine))  # what the first call takes for good
before = process_memory()
found = predictor.predict(volume, overlap=0.25, announce=lambda estimate: print(estimate.total))
status = open("/proc/self/status").read()  # getrusage would count what the parent process held
print(before, int(status.split("VmHWM:")[1].split()[0]) * 1024, len(np.unique(found.labels)))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="measures memory as Linux reports it")
def test_memory_stays_far_below_the_scores_of_the_whole_volume() -> None:
    scores = 14 * 192**3 * 4
    output = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True).stdout
    estimated, before, peak, labels = map(int, output.split())
    assert labels > 5
    assert peak - before < 0.75 * scores  # a quarter of the scores are in the ring, and the interpolation's planes
    assert peak < estimated


def test_the_process_holds_what_it_allocates() -> None:
    before = process_memory()
    with mmap.mmap(-1, 240_000_000) as held:  # fresh from the system, where an array might reuse freed memory
        held.write(bytes(len(held)))
        assert process_memory() - before > 0.9 * len(held)


def test_a_prediction_under_a_bound_is_announced_and_refused(make_predictor, plant) -> None:
    with pytest.raises(UsageError, match="at least"):
        make_predictor().predict(plant((30, 30, 30)), memory=100 << 20)
    heard = []
    make_predictor().predict(plant((30, 30, 30)), memory=64 * GIB, announce=heard.append)
    [estimate] = heard
    assert re.match(r"about [0-9.]+ [MG]iB of memory \(held already", str(estimate))
    assert estimate.total > estimate.held > 0


def test_volumes_are_not_copied_to_float64(make_predictor) -> None:
    volume = Volume(np.arange(64**3).reshape(64, 64, 64).astype(np.int16), np.diag([1.5, 1.5, 2.0, 1.0]))
    assert make_predictor().predict(volume).volume.array is volume.array
