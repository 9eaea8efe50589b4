"""Averages over mirror images."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from medssm.checkpoints import WeightsMetadata
from medssm.checkpoints.own_format import read_safetensors
from medssm.data.scans.cases import ScanDataset
from medssm.data.scans.organs import BTCV_ORGANS
from medssm.data.scans.transforms.flip import swap_pairs
from medssm.errors import UsageError
from medssm.recipes.loading import load_recipe
from medssm.tasks.segmentation.flips import FlipMean
from medssm.tasks.segmentation.runner import scan_predictor
from medssm.tasks.segmentation.settings import SegmentationRecipe
from medssm.tasks.segmentation.training import SegmentationTraining

PAIRS = ((2, 3),)


def task_of(names: dict[int, str], folder: Path, flips: str = "swap") -> SegmentationTraining:
    """The training of a dataset without cases."""
    overrides = {"model.num_classes": max(names) + 1, "augmentation.flips.x": flips}
    recipe = load_recipe("btcv", "mamband-xs", overrides)
    assert isinstance(recipe, SegmentationRecipe)
    return SegmentationTraining(recipe, ScanDataset("", folder, folder, (), (), (), names))


def network(classes: int = 4) -> nn.Module:
    torch.manual_seed(1)
    return nn.Conv3d(1, classes, 3, padding=1).requires_grad_(False)


def test_scores_are_the_mean_over_all_combinations_of_flips() -> None:
    model, x = network(), torch.rand(2, 1, 5, 6, 7)
    found = FlipMean(model, {"x": "as-published", "z": "as-published"}, PAIRS, 4)(x)
    expected = [model(x.flip(dims)).flip(dims) for dims in ([], [2], [4], [2, 4])]
    torch.testing.assert_close(found, torch.stack(expected).mean(0))


def test_scores_of_paired_organs_are_exchanged_where_training_exchanged_them() -> None:
    model, x = network(), torch.rand(1, 1, 5, 6, 7)
    found = FlipMean(model, {"x": "swap", "y": "swap"}, PAIRS, 4)(x)
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
    torch.testing.assert_close(FlipMean(SidesNetwork(), {"x": "swap"}, PAIRS, 4)(x), alone)


@pytest.mark.parametrize(
    "publisher", ["BTCV", "AMOS", "FLARE", "WORD", "TotalSegmentator", "FreeSurfer", "radiotherapy"]
)
def test_tta_exchanges_what_training_exchanged(
    publisher: str, label_names: dict[str, dict[int, str]], tmp_path: Path
) -> None:
    task = task_of(label_names[publisher], tmp_path)
    task.save_weights(network(), tmp_path / "weights.safetensors", {"dice": 0.0})
    metadata = read_safetensors(tmp_path / "weights.safetensors")[1]
    assert metadata is not None
    predictor = scan_predictor(network(), metadata, "cpu")
    exchange = FlipMean(network(), predictor.flips, predictor.pairs, predictor.classes).exchange
    labels = torch.arange(predictor.classes, dtype=torch.uint8)
    assert exchange is not None
    assert exchange.tolist() == swap_pairs(labels, task.augment.pairs).tolist()
    assert exchange.tolist() != labels.tolist()


def test_a_side_without_its_partner_is_refused_where_flips_exchange_labels(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"'rkid', 'left kidney' but no label for the other side.*flips\.x=off"):
        task_of({1: "spleen", 2: "rkid", 3: "left kidney"}, tmp_path)
    assert task_of({1: "spleen", 2: "rkid", 3: "left kidney"}, tmp_path, flips="as-published").augment.pairs == ()


def test_that_nothing_is_exchanged_is_told_once(tmp_path: Path) -> None:
    task = task_of({1: "spleen", 2: "liver"}, tmp_path)
    assert [sentence[:9] for sentence in task.news()] == ["no labels"]
    assert task.news() == []
    assert task_of({2: "rkid", 3: "lkid"}, tmp_path).news() == []


def test_weights_that_tell_no_pairs_were_trained_with_those_of_btcvs_own_names() -> None:
    fields = {"model": "mamband-xs", "in_channels": 1, "input_size": (16, 16, 16), "flips": {"x": "swap"}}
    for names, pairs in ((BTCV_ORGANS, ((2, 3), (12, 13))), ({2: "rkid", 3: "lkid"}, ())):
        metadata = WeightsMetadata(**fields, num_classes=14, class_names={0: "background", **names})
        assert scan_predictor(network(), metadata, "cpu").pairs == pairs


def test_weights_trained_without_flips_refuse() -> None:
    for flips in ({}, {"x": "off"}):
        with pytest.raises(UsageError, match="--tta"):
            FlipMean(network(), flips, PAIRS, 4)


def test_a_symmetric_network_predicts_the_same_with_flips(make_predictor, plant) -> None:
    volume, predictor = plant((20, 21, 22)), make_predictor()
    predictor.flips = dict.fromkeys("xyz", "as-published")
    np.testing.assert_array_equal(predictor.predict(volume, tta=True).labels, volume.array)
