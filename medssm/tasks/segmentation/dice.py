"""Dice of label maps on the network's grid, class by class."""

import torch
from torch import Tensor


def dice_per_class(prediction: Tensor, reference: Tensor, num_classes: int) -> Tensor:
    """2 |P and R| / (|P| + |R|) of every class, background first; NaN where the reference has no voxel of it.

    Args:
        prediction, reference: label maps of one shape, integer.

    Returns: (num_classes,) float64.
    """
    pairs = prediction.flatten().long() * num_classes + reference.flatten().long()
    table = torch.bincount(pairs, minlength=num_classes**2).view(num_classes, num_classes).double()
    true = table.sum(0)
    dice = 2 * table.diagonal() / (table.sum(1) + true)
    return torch.where(true > 0, dice, torch.nan)


def organ_mean(dice: Tensor) -> float:
    """The mean of (num_classes,) Dice over the organs that the reference holds, no background; NaN if there is none."""
    return float(dice[1:].nanmean())
