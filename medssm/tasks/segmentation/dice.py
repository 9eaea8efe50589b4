"""Dice of label maps on the network's grid, class by class."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from medssm.data.scans.labelled import IGNORED


def dice_per_class(prediction: Tensor, reference: Tensor, num_classes: int) -> Tensor:
    """2 |P and R| / (|P| + |R|) of every class, background first; NaN where the reference has no voxel of it.

    Args:
        prediction: label map, integer.
        reference: label map of that shape; voxels of 255, of which nothing is known, count nowhere.

    Returns: (num_classes,) float64.
    """
    known = reference != IGNORED
    prediction, reference = prediction[known], reference[known]
    pairs = prediction.flatten().long() * num_classes + reference.flatten().long()
    table = torch.bincount(pairs, minlength=num_classes**2).view(num_classes, num_classes).double()
    true = table.sum(0)
    dice = 2 * table.diagonal() / (table.sum(1) + true)
    return torch.where(true > 0, dice, torch.nan)


def organ_mean(dice: Tensor) -> float:
    """The mean of (num_classes,) Dice over the organs that the reference holds, no background; NaN if there is none."""
    return float(dice[1:].nanmean())


def mean_of_cases(dice: Iterable[Tensor]) -> float:
    """The mean of the organ means of cases, without those that hold no organ; NaN if none does."""
    means = [mean for case in dice if not math.isnan(mean := organ_mean(case))]
    return sum(means) / len(means) if means else math.nan


def shown_dice(dice: float | None) -> str:
    """A Dice for people; a dash where nothing was there to be found."""
    return "-" if dice is None or math.isnan(dice) else f"{dice:.4f}"
