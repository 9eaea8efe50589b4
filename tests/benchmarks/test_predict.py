"""The benchmark of whole volumes, at sizes that take seconds."""

import torch

from medssm.benchmarks.predict import CheapNetwork, VolumeTimes, measure_predict, measure_stitching


def assert_measured(volume: VolumeTimes, repeats: int) -> None:
    assert len(volume.times.ours) == len(volume.times.other) == repeats
    assert min(volume.times.ours + volume.times.other) > 0


def test_stitching_gives_the_labels_of_monai() -> None:
    volume = measure_stitching((40, 110, 50), classes=3, repeats=2, window=(32, 48, 32))
    assert volume.agreement == 1
    assert volume.windows == 2 * 4 * 3
    assert_measured(volume, 2)


def test_prediction_gives_the_labels_of_plain_monai() -> None:
    volume = measure_predict("mamband-s", (48, 32, 32), repeats=1, window=(32, 32, 32))
    assert volume.agreement > 0.999
    assert volume.windows == 2
    assert_measured(volume, 1)


def test_cheap_network_finds_the_nearest_of_evenly_spread_values() -> None:
    constant = torch.tensor([0.1, 0.6, 0.9]).view(3, 1, 1, 1, 1).expand(3, 1, 2, 2, 8)
    middle = CheapNetwork(3)(constant)[..., 1:-1].argmax(1)  # values 0, 0.5 and 1
    assert [labels.unique().tolist() for labels in middle] == [[0], [1], [2]]
