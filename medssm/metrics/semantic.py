"""How well label maps agree with their references, counted in pixels over a whole dataset."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class PixelCounts:
    """Pixels of each class, (K,) int64; they may be added up over images.

    Attributes:
        agreed: predicted and right. predicted, reference: of either, among the pixels whose reference has a class.
    """

    agreed: np.ndarray
    predicted: np.ndarray
    reference: np.ndarray

    def __add__(self, other: "PixelCounts") -> "PixelCounts":
        return PixelCounts(
            self.agreed + other.agreed, self.predicted + other.predicted, self.reference + other.reference
        )


def count_pixels(predicted: Tensor, reference: Tensor, num_classes: int) -> PixelCounts:
    """The counts of one label map.

    Args:
        predicted, reference: (H, W), integers; where the reference is no class of 0 ... num_classes - 1, the prediction
            is not looked at, and where the prediction is none it is wrong.
    """
    has_class = reference < num_classes
    predicted, reference = predicted[has_class].long(), reference[has_class].long()
    parts = (reference[predicted == reference], predicted, reference)
    return PixelCounts(*(torch.bincount(part, minlength=num_classes)[:num_classes].cpu().numpy() for part in parts))


def total(counts: Iterable[PixelCounts], num_classes: int) -> PixelCounts:
    """The counts of a whole dataset from those of its images."""
    zero = np.zeros(num_classes, np.int64)
    return sum(counts, PixelCounts(zero, zero, zero))


@dataclass(frozen=True)
class LabelScores:
    """What is usually reported of a dataset, from 0 to 1, counted over all its pixels at once.

    Attributes:
        iou: (K,), intersection over union of each class; NaN of a class that is neither predicted nor in a reference.
        accuracy: (K,), the share of each class's pixels that are right; NaN where no reference has it.
        pixel_accuracy: the share of all pixels that are right (aAcc).

    Source: Zhou et al. 2017, Scene Parsing through ADE20K, section 4; MMSegmentation's IoUMetric.
    """

    iou: np.ndarray
    accuracy: np.ndarray
    pixel_accuracy: float

    @property
    def mean_iou(self) -> float:
        """The mean over the classes that occur (mIoU)."""
        return float(np.nanmean(self.iou)) if np.isfinite(self.iou).any() else 0.0

    @property
    def mean_accuracy(self) -> float:
        """The mean over the classes that a reference has (mAcc)."""
        return float(np.nanmean(self.accuracy)) if np.isfinite(self.accuracy).any() else 0.0


def label_scores(counts: PixelCounts) -> LabelScores:
    """The scores of a whole dataset from its counts."""
    union = counts.predicted + counts.reference - counts.agreed
    with np.errstate(invalid="ignore"):
        iou, accuracy = counts.agreed / union, counts.agreed / counts.reference
    pixels = int(counts.reference.sum())
    return LabelScores(iou, accuracy, int(counts.agreed.sum()) / pixels if pixels else 0.0)
