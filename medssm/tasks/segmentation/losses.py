"""Soft Dice plus cross-entropy for label maps."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from monai.losses import DiceLoss
from monai.networks import one_hot
from torch import Tensor

from medssm.data.scans.labelled import IGNORED
from medssm.tasks.segmentation.settings import LossSettings

SMOOTHING = 1e-6
# The logarithm of a probability of zero, with which sums stay numbers.
NOTHING = -1e4


def segmentation_losses(
    logits: Tensor,
    labels: Tensor,
    settings: LossSettings,
    class_weights: Tensor | None = None,
    annotated: Tensor | None = None,
) -> dict[str, Tensor]:
    """The loss and its two parts, scalars.

    Args:
        logits: (B, K, D, H, W).
        labels: (B, D, H, W), integer; 255 where nothing is known, which counts nowhere.
        class_weights: (K,) of the cross-entropy; None for equal ones.
        annotated: (B, K) bool, the classes that were drawn in each sample, background included; None for all.
    """
    logits, labels = logits.float(), labels.long()
    if annotated is not None and not annotated.all():
        logits = marginal_scores(logits, annotated)
    weights = None if class_weights is None else class_weights.to(logits.device)
    known = labels != IGNORED
    if not known.any():
        nothing = (logits * 0.0).sum()
        return {"loss": nothing, "dice_loss": nothing.detach(), "cross_entropy": nothing.detach()}
    if settings.kind == "dice-ce":
        dice = published_dice_loss(logits, labels)
        entropy = F.cross_entropy(logits, labels, weight=weights, ignore_index=IGNORED)
    else:
        log_probabilities = logits.log_softmax(dim=1)
        entropy = F.nll_loss(log_probabilities, labels, weight=weights, ignore_index=IGNORED)
        dice = present_dice_loss(log_probabilities, labels)
    return {"loss": dice + entropy, "dice_loss": dice.detach(), "cross_entropy": entropy.detach()}


def marginal_scores(logits: Tensor, annotated: Tensor) -> Tensor:
    """Logarithms of the probabilities that can be held against partly labelled cases, (B, K, D, H, W).

    Where a class was not drawn in a case its voxels are labelled as background, so its probability is added to that of
    the background and it has none of its own.

    Args:
        logits: (B, K, D, H, W) float32.
        annotated: (B, K) bool, background included.

    Source: Shi et al. 2021, marginal loss (arXiv:2007.03868).
    """
    log_probabilities = logits.log_softmax(dim=1)
    own = annotated.to(logits.device)[:, :, None, None, None]
    with_background = ~own
    with_background[:, 0] = True
    background = log_probabilities.masked_fill(~with_background, NOTHING).logsumexp(dim=1, keepdim=True)
    others = log_probabilities.masked_fill(~own, NOTHING)[:, 1:]
    return torch.cat([background, others], dim=1)


def published_dice_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """1 - 2 sum(p g) / (sum(p^2) + sum(g^2) + 1e-6), a scalar, averaged over samples and classes, background too.

    A class that a crop does not hold costs 1. Source: UNETR's BTCV training, which Mamba-ND uses.
    """
    loss = DiceLoss(squared_pred=True, smooth_nr=0.0, smooth_dr=SMOOTHING)
    known = (labels != IGNORED)[:, None]
    probabilities = logits.softmax(dim=1)
    target = one_hot(labels[:, None].where(known, 0), logits.shape[1])
    if not known.all():
        probabilities, target = probabilities * known, target * known
    return loss(probabilities, target)


def present_dice_loss(log_probabilities: Tensor, labels: Tensor) -> Tensor:
    """Soft Dice loss over the classes that the batch holds, each counted over the whole batch.

    In small crops most classes are absent, and the published loss would mostly say so. Written without a one-hot
    tensor: a third of the time.

    Args:
        log_probabilities: (B, K, D, H, W).
        labels: (B, D, H, W), int64.
    """
    known = labels != IGNORED
    if not known.all():  # each class is counted over the whole batch, so where a voxel lies does not matter
        log_probabilities, labels = log_probabilities.movedim(1, -1)[known].T[None], labels[known][None]
    flat = labels.flatten()
    true = log_probabilities.gather(1, labels[:, None]).exp().flatten()
    zeros = true.new_zeros(log_probabilities.shape[1])
    overlap, voxels = zeros.index_add(0, flat, true), zeros.index_add(0, flat, torch.ones_like(true))
    squares = (2 * log_probabilities).exp().sum(dim=[axis for axis in range(log_probabilities.ndim) if axis != 1])
    dice = 2 * overlap / (squares + voxels + SMOOTHING)
    return 1 - dice[voxels > 0].mean()


def inverse_root_weights(counts: Mapping[int, int], num_classes: int) -> Tensor:
    """(num_classes,) weights that fall with the root of a class's frequency, one on average.

    Args:
        counts: label value -> voxels in the training set; a class with none gets the weight of the rarest.
    """
    voxels = torch.tensor([float(counts.get(label, 0)) for label in range(num_classes)])
    voxels[voxels == 0] = voxels[voxels > 0].min()
    weights = voxels.rsqrt()
    return weights / weights.mean()
