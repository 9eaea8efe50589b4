"""The scores of label maps against a count in plain Python, pixel by pixel."""

import math

import numpy as np
import pytest
import torch

from medssm.metrics.semantic import count_pixels, label_scores, total

CLASSES = 5
IGNORED = 255


def label_maps(seed: int) -> tuple[list[list[int]], list[list[int]]]:
    """A prediction and its reference: class 4 is only ever predicted, class 3 never occurs, some have no class."""
    random = np.random.default_rng(seed)
    reference = random.choice([0, 1, 2, IGNORED], (6, 7), p=(0.5, 0.3, 0.1, 0.1))
    predicted = np.where(random.random((6, 7)) < 0.6, np.minimum(reference, 2), random.choice([0, 1, 2, 4], (6, 7)))
    return predicted.tolist(), reference.tolist()


def by_hand(pairs: list[tuple[list[list[int]], list[list[int]]]]) -> dict[str, float | list[float]]:
    """The definitions, over the set of all pixels of all images."""
    pixels = [
        (guess, truth)
        for predicted, reference in pairs
        for guesses, truths in zip(predicted, reference, strict=True)
        for guess, truth in zip(guesses, truths, strict=True)
        if truth != IGNORED
    ]
    ious, accuracies = [], []
    for label in range(CLASSES):
        both = sum(guess == truth == label for guess, truth in pixels)
        either = sum(label in pair for pair in pixels)
        own = sum(truth == label for _, truth in pixels)
        ious.append(both / either if either else math.nan)
        accuracies.append(both / own if own else math.nan)
    known = [iou for iou in ious if not math.isnan(iou)]
    present = [accuracy for accuracy in accuracies if not math.isnan(accuracy)]
    return {
        "iou": ious,
        "accuracy": accuracies,
        "pixel_accuracy": sum(guess == truth for guess, truth in pixels) / len(pixels),
        "mean_iou": sum(known) / len(known),
        "mean_accuracy": sum(present) / len(present),
    }


def test_scores_are_those_of_all_pixels_together() -> None:
    pairs = [label_maps(seed) for seed in range(3)]
    counts = [count_pixels(torch.tensor(guess), torch.tensor(truth), CLASSES) for guess, truth in pairs]
    scores, expected = label_scores(total(counts, CLASSES)), by_hand(pairs)
    for name, value in expected.items():
        assert getattr(scores, name) == pytest.approx(value, nan_ok=True), name
    assert math.isnan(scores.iou[3])
    assert scores.iou[4] == 0
    each = [label_scores(count).mean_iou for count in counts]
    assert scores.mean_iou != pytest.approx(np.mean(each), rel=1e-3)


def test_a_prediction_of_no_class_is_wrong() -> None:
    predicted, reference = torch.tensor([[0, 9, 1]]), torch.tensor([[0, 0, 1]])
    counts = count_pixels(predicted, reference, 2)
    assert (counts.agreed.tolist(), counts.predicted.tolist(), counts.reference.tolist()) == ([1, 1], [1, 1], [2, 1])


def test_a_dataset_without_classes_scores_nothing() -> None:
    nothing = torch.full((2, 2), IGNORED)
    scores = label_scores(count_pixels(torch.zeros(2, 2, dtype=torch.uint8), nothing, CLASSES))
    assert (scores.mean_iou, scores.mean_accuracy, scores.pixel_accuracy) == (0, 0, 0)
