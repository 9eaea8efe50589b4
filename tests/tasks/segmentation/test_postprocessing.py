"""What is mended of label maps, and which rules validation keeps."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

import medssm
from medssm.checkpoints import load_weights
from medssm.errors import CheckpointError
from medssm.tasks.segmentation.postprocessing import LabelRules, PostProcessing, told_changes
from medssm.tasks.segmentation.rule_choice import dropping_rules, predicted_pieces


def blob(shape: tuple[int, int, int] = (24, 20, 22)) -> np.ndarray:
    """A ball of label 1 with a hole in it, a piece of 4 and one of 1 voxel; label 2 beside it with a tunnel."""
    labels = np.zeros(shape, np.uint8, order="F")
    distance = np.linalg.norm(np.indices(shape).T - np.array([8, 9, 9]), axis=-1).T
    labels[distance < 6] = 1
    labels[8, 9, 9] = 0
    labels[20, 2:4, 2:4] = 1
    labels[22, 18, 20] = 1
    labels[16:20, 10:16, 12:18] = 2
    labels[18, 12, 12:18] = 0
    return labels


@pytest.mark.parametrize("slab", [200, 1 << 22])
def test_rules_do_what_scipy_does_label_by_label(slab: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medssm.data.scans.label_values.SLAB_VOXELS", slab)
    labels = blob()
    numbers, _ = ndimage.label(labels == 1, np.ones((3, 3, 3)))
    largest = numbers == np.argmax(np.bincount(numbers.ravel())[1:]) + 1
    expected = np.where(ndimage.binary_fill_holes(largest) & (labels != 2), 1, 0)
    expected[labels == 2] = 2
    rules = {1: LabelRules(largest=True, filled=True), 2: LabelRules(filled=True)}
    changes = PostProcessing(rules).apply(labels, 0.001)
    np.testing.assert_array_equal(labels, expected)
    assert {label: tuple(change) for label, change in changes.items()} == {1: (2, 5, 1)}  # the tunnel is no hole
    assert list(told_changes(changes, {1: "liver"}, 0.001)) == [
        "post-processing (liver: 2 pieces of 0.005 ml dropped and holes of 0.001 ml filled)"
    ]


def test_pieces_below_a_volume_go() -> None:
    labels = blob()
    PostProcessing({1: LabelRules(smallest_ml=0.003)}).apply(labels, 0.001)
    assert labels[20, 2, 2] == 1
    assert labels[22, 18, 20] == 0
    assert labels[8, 9, 9] == 0


def test_a_rule_is_kept_where_it_makes_no_case_worse() -> None:
    truth = blob()
    truth[20, 2:4, 2:4] = truth[22, 18, 20] = 0
    wrong = predicted_pieces(blob(), truth, 1, 0.001)
    assert dropping_rules([wrong, wrong], lambda: True).largest
    right = predicted_pieces(blob(), blob(), 1, 0.001)  # two pieces belong there
    assert not dropping_rules([wrong, right], lambda: True).largest
    assert not dropping_rules([wrong, wrong], lambda: False).largest


def test_stored_rules_come_back_and_unknown_ones_are_refused() -> None:
    rules = PostProcessing({2: LabelRules(True, 0.5, True)})
    assert PostProcessing.stored(rules.as_stored()) == rules
    assert PostProcessing.stored(None) == PostProcessing()
    with pytest.raises(CheckpointError, match="rules of post-processing that this version does not know"):
        PostProcessing.stored({1: {"sharpened": True}})
    with pytest.raises(CheckpointError, match="drops pieces below no volume"):
        PostProcessing.stored({1: {"smallest_ml": float("nan")}})


def test_a_training_learns_it_once_and_prediction_applies_it_or_not(trained: Path, cube_dataset: Path) -> None:
    metadata = load_weights(trained)[1]
    assert metadata.postprocessing is not None
    assert "learning post-processing on the 2 cases that validate" in (trained / "train.log").read_text()
    predictor: Any = medssm.load(trained)
    predictor.postprocessing = PostProcessing({1: LabelRules(smallest_ml=1e6), 2: LabelRules(smallest_ml=1e6)})
    scan = cube_dataset / "imagesTr" / "img0005.nii.gz"
    assert predictor.predict(scan, postprocessing="none").labels.any()
    mended = predictor.predict(scan)
    assert not mended.labels.any()
    assert mended.volume.notes[-1].startswith("post-processing (bright: ")
