"""Averages over mirror images."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from medssm.errors import UsageError
from medssm.tasks.segmentation.flips import FlipMean, paired_classes

NAMES = {1: "liver", 2: "right kidney", 3: "left kidney"}


def network(classes: int = 4) -> nn.Module:
    torch.manual_seed(1)
    return nn.Conv3d(1, classes, 3, padding=1).requires_grad_(False)


def test_scores_are_the_mean_over_all_combinations_of_flips() -> None:
    model, x = network(), torch.rand(2, 1, 5, 6, 7)
    found = FlipMean(model, {"x": "as-published", "z": "as-published"}, NAMES, 4)(x)
    expected = [model(x.flip(dims)).flip(dims) for dims in ([], [2], [4], [2, 4])]
    torch.testing.assert_close(found, torch.stack(expected).mean(0))


def test_scores_of_paired_organs_are_exchanged_where_training_exchanged_them() -> None:
    model, x = network(), torch.rand(1, 1, 5, 6, 7)
    found = FlipMean(model, {"x": "swap", "y": "swap"}, NAMES, 4)(x)
    straight = [model(x), model(x.flip(3)).flip(3)]
    mirrored = [model(x.flip(2)).flip(2), model(x.flip(2, 3)).flip(2, 3)]
    exchanged = [scores[:, [0, 1, 3, 2]] for scores in mirrored]
    torch.testing.assert_close(found, torch.stack(straight + exchanged).mean(0))


class SidesNetwork(nn.Module):
    """Knows left from right by place alone: the half of the window towards the right is class 2, the other class 3."""

    def forward(self, windows: Tensor) -> Tensor:
        side = torch.linspace(-1, 1, windows.shape[2]).view(1, 1, -1, 1, 1).expand_as(windows)
        nothing = torch.full_like(side, -9.0)
        return torch.cat([nothing, nothing, side, -side], 1)


def test_right_stays_right() -> None:
    x = torch.rand(1, 1, 6, 4, 4)
    alone = SidesNetwork()(x)
    torch.testing.assert_close(FlipMean(SidesNetwork(), {"x": "swap"}, NAMES, 4)(x), alone)


def test_pairs_are_found_by_their_names() -> None:
    assert paired_classes({**NAMES, 4: "left lung"}, 6).tolist() == [0, 1, 3, 2, 4, 5]


def test_weights_trained_without_flips_refuse() -> None:
    for flips in ({}, {"x": "off"}):
        with pytest.raises(UsageError, match="--tta"):
            FlipMean(network(), flips, NAMES, 4)


def test_a_symmetric_network_predicts_the_same_with_flips(make_predictor, plant) -> None:
    volume, predictor = plant((20, 21, 22)), make_predictor()
    predictor.flips = dict.fromkeys("xyz", "as-published")
    np.testing.assert_array_equal(predictor.predict(volume, tta=True).labels, volume.array)
