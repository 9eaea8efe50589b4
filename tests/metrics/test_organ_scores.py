"""Scores of one case, beside MONAI's Dice and DeepMind's surface-distance library."""

import math

import numpy as np
import pytest
import surface_distance
import torch
from monai.metrics import compute_dice

from medssm.errors import GeometryError
from medssm.metrics import OrganScore, score_case

NAMES = {1: "spleen", 2: "liver", 3: "aorta", 4: "stomach"}
SPACING = (0.8, 1.1, 2.5)
AFFINE = np.diag([*SPACING, 1.0])


def blobs(seed: int, shape: tuple[int, int, int] = (30, 26, 18)) -> np.ndarray:
    """Balls of labels 1 and 2 at places that differ a little with the seed."""
    random = np.random.default_rng(seed)
    grid = np.indices(shape)
    labels = np.zeros(shape, np.uint8)
    for label, centre in ((1, (9, 9, 8)), (2, (20, 15, 10))):
        place = np.array(centre) + random.normal(0, 1, 3)
        labels[np.sqrt(sum((g - p) ** 2 for g, p in zip(grid, place, strict=True))) < 6] = label
    return labels


def by_name(scores: list[OrganScore]) -> dict[str, OrganScore]:
    return {score.organ: score for score in scores}


@pytest.mark.parametrize("seed", range(4))
def test_dice_agrees_with_monai(seed: int) -> None:
    prediction, reference = blobs(seed), blobs(seed + 10)
    scores = by_name(score_case(prediction, reference, AFFINE, NAMES))
    for label, organ in ((1, "spleen"), (2, "liver")):
        masks = (torch.from_numpy(x == label)[None, None].float() for x in (prediction, reference))
        assert scores[organ].dice == pytest.approx(compute_dice(*masks).item(), abs=1e-6)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("tolerance", [1.0, 3.0])
def test_surface_measures_agree_with_an_independent_library(seed: int, tolerance: float) -> None:
    prediction, reference = blobs(seed), blobs(seed + 10)
    scores = by_name(score_case(prediction, reference, AFFINE, NAMES, tolerance))
    for label, organ in ((1, "spleen"), (2, "liver")):
        distances = surface_distance.compute_surface_distances(reference == label, prediction == label, SPACING)
        expected = surface_distance.compute_surface_dice_at_tolerance(distances, tolerance)
        assert scores[organ].surface_dice == pytest.approx(expected, abs=1e-5)
        assert scores[organ].hd95 == pytest.approx(surface_distance.compute_robust_hausdorff(distances, 95), abs=1e-4)


def test_volumes_are_in_millilitres() -> None:
    labels = np.zeros((10, 10, 10), np.uint8)
    labels[:5] = 1
    (score,) = score_case(labels, labels, np.diag([2.0, 2.0, 2.0, 1.0]), {1: "spleen"})
    assert (score.volume_ml, score.reference_ml, score.dice, score.hd95) == (4.0, 4.0, 1.0, 0.0)


def test_a_missed_organ_costs_and_a_spurious_one_too() -> None:
    reference, prediction = blobs(0), blobs(0)
    prediction[prediction == 2] = 0
    prediction[0, 0, 0] = 3
    scores = by_name(score_case(prediction, reference, AFFINE, NAMES))
    diagonal = math.dist((0, 0, 0), np.multiply(reference.shape, SPACING))
    for organ, status in (("liver", "missed"), ("aorta", "spurious")):
        assert scores[organ].status == status
        assert (scores[organ].dice, scores[organ].surface_dice) == (0.0, 0.0)
        assert scores[organ].hd95 == pytest.approx(diagonal)
    assert scores["stomach"].status == "absent"
    assert scores["stomach"].dice is None


def test_masks_at_the_border_of_the_scan_are_compared() -> None:
    labels = np.ones((6, 6, 6), np.uint8)
    (score,) = score_case(labels, labels, np.eye(4), {1: "spleen"})
    assert (score.dice, score.hd95, score.surface_dice) == (1.0, 0.0, 1.0)


def test_different_shapes_are_refused() -> None:
    with pytest.raises(GeometryError, match="differ in shape"):
        score_case(np.zeros((2, 2, 2), np.uint8), np.zeros((2, 2, 3), np.uint8), np.eye(4), NAMES)
