"""Losses against their formulas written out, and Dice of label maps."""

import math

import pytest
import torch

from medssm.tasks.segmentation.dice import dice_per_class, mean_of_cases, organ_mean
from medssm.tasks.segmentation.losses import inverse_root_weights, segmentation_losses
from medssm.tasks.segmentation.settings import LossSettings

CLASSES = 4


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    logits = torch.randn(2, CLASSES, 3, 4, 5, dtype=torch.float64).float().requires_grad_()
    labels = torch.randint(0, CLASSES - 1, (2, 3, 4, 5), dtype=torch.uint8)  # the last class is absent
    return logits, labels


def soft_dice(p: torch.Tensor, g: torch.Tensor) -> float:
    return float(2 * (p * g).sum() / (p.square().sum() + g.square().sum() + 1e-6))


def one_hot(labels: torch.Tensor) -> torch.Tensor:
    return torch.stack([(labels == k).double() for k in range(CLASSES)], dim=1)


def test_the_published_loss_averages_over_samples_and_all_classes(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    logits, labels = batch
    p, g = logits.detach().double().softmax(1), one_hot(labels)
    dice = [1 - soft_dice(p[b, k], g[b, k]) for b in range(2) for k in range(CLASSES)]
    entropy = -float((g * p.log()).sum(1).mean())
    losses = segmentation_losses(logits, labels, LossSettings())
    assert losses["dice_loss"].item() == pytest.approx(sum(dice) / len(dice), rel=1e-5)
    assert losses["cross_entropy"].item() == pytest.approx(entropy, rel=1e-5)
    assert losses["loss"].item() == pytest.approx(sum(dice) / len(dice) + entropy, rel=1e-5)


def test_the_loss_of_present_classes_leaves_the_absent_out(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    logits, labels = batch
    p, g = logits.detach().double().softmax(1), one_hot(labels)
    weights = torch.tensor([0.5, 1.0, 1.5, 2.0], dtype=torch.float64)
    dice = [1 - soft_dice(p[:, k], g[:, k]) for k in range(CLASSES - 1)]
    weighted = g * weights[:, None, None, None]
    entropy = -float((weighted * p.log()).sum() / weighted.sum())
    losses = segmentation_losses(logits, labels, LossSettings(kind="present-dice-ce"), weights.float())
    assert losses["dice_loss"].item() == pytest.approx(sum(dice) / len(dice), rel=1e-5)
    assert losses["cross_entropy"].item() == pytest.approx(entropy, rel=1e-5)


@pytest.mark.parametrize("kind", ["dice-ce", "present-dice-ce"])
def test_a_step_along_the_gradient_lowers_the_loss(kind: str, batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    logits, labels = batch
    settings = LossSettings.model_validate({"kind": kind})
    before = segmentation_losses(logits, labels, settings)["loss"]
    before.backward()
    assert logits.grad is not None
    after = segmentation_losses(logits.detach() - logits.grad, labels, settings)["loss"]
    assert after < before


@pytest.mark.parametrize("kind", ["dice-ce", "present-dice-ce"])
def test_what_is_unknown_counts_nowhere(kind: str, batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    logits, labels = batch
    settings, weights = LossSettings.model_validate({"kind": kind}), torch.tensor([0.5, 1.0, 1.5, 2.0])
    labels[:, 1:] = 255
    losses = segmentation_losses(logits, labels, settings, weights)
    losses["loss"].backward()
    assert logits.grad is not None
    assert not logits.grad[:, :, 1:].any()
    assert logits.grad[:, :, :1].any()
    cut = segmentation_losses(logits[:, :, :1], labels[:, :1], settings, weights)
    for name, value in losses.items():
        assert value.item() == pytest.approx(cut[name].item(), rel=1e-6)
    nothing = segmentation_losses(logits, torch.full_like(labels, 255), settings, weights)
    assert nothing["loss"].item() == 0


def test_weights_fall_with_the_root_of_the_frequency() -> None:
    weights = inverse_root_weights({0: 400, 1: 100, 2: 4}, num_classes=4)
    assert weights[1] / weights[0] == pytest.approx(math.sqrt(4))
    assert weights[2] / weights[0] == pytest.approx(math.sqrt(100))
    assert weights[3] == weights[2]
    assert weights.mean() == pytest.approx(1)


def test_dice_of_label_maps() -> None:
    prediction = torch.tensor([[0, 1, 1, 0, 3]])
    reference = torch.tensor([[0, 1, 0, 2, 0]])
    dice = dice_per_class(prediction, reference, num_classes=5).tolist()
    assert dice[:3] == pytest.approx([2 * 1 / 5, 2 * 1 / 3, 0.0])
    assert all(math.isnan(value) for value in dice[3:])
    assert organ_mean(torch.tensor(dice)) == pytest.approx((2 / 3 + 0) / 2)


def test_dice_leaves_out_what_is_unknown_and_the_mean_what_has_no_organ() -> None:
    prediction = torch.tensor([0, 1, 1, 2, 1])
    reference = torch.tensor([0, 1, 255, 255, 0], dtype=torch.uint8)
    dice = dice_per_class(prediction, reference, num_classes=3)
    assert dice[:2].tolist() == pytest.approx([2 * 1 / 3, 2 * 1 / 3])
    empty = dice_per_class(prediction, torch.zeros_like(reference), num_classes=3)
    assert mean_of_cases([dice, empty]) == pytest.approx(2 / 3)
    assert math.isnan(mean_of_cases([empty]))


@pytest.mark.parametrize("kind", ["dice-ce", "present-dice-ce"])
def test_what_was_not_drawn_in_a_case_counts_as_background_there(
    kind: str, batch: tuple[torch.Tensor, torch.Tensor]
) -> None:
    """Shi et al. 2021: the loss of a partly labelled case is that of a network for its labels alone."""
    logits, labels = batch
    labels = torch.where(labels == 2, 0, labels)  # what has class 2 or 3 is labelled 0
    drawn = torch.tensor([[True, True, False, False]]).expand(2, -1)
    settings = LossSettings(kind=kind, class_weights="none")
    found = segmentation_losses(logits, labels, settings, annotated=drawn)
    p = logits.softmax(1)
    alone = torch.stack([p[:, 0] + p[:, 2] + p[:, 3], p[:, 1]], dim=1).log()
    expected = segmentation_losses(alone, labels, settings)
    assert found["cross_entropy"].item() == pytest.approx(expected["cross_entropy"].item(), rel=1e-5)
    absent = 2 * (kind == "dice-ce")  # classes of which nothing is there, and nothing is found
    dice = (2 * expected["dice_loss"].item() + absent) / (2 + absent)
    assert found["dice_loss"].item() == pytest.approx(dice, rel=1e-4)
    found["loss"].backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert logits.grad[:, 2].abs().sum() > 0  # a voxel that is class 1 is none of the others


def test_a_batch_of_wholly_and_partly_labelled_cases_is_that_of_both(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
    logits, labels = batch
    drawn = torch.ones(2, CLASSES, dtype=torch.bool)
    assert segmentation_losses(logits, labels, LossSettings(), annotated=drawn)["loss"].item() == pytest.approx(
        segmentation_losses(logits, labels, LossSettings())["loss"].item()
    )
    labels[1][labels[1] == 2] = 0
    drawn[1, 2] = False
    entropy = segmentation_losses(logits, labels, LossSettings(), annotated=drawn)["cross_entropy"].item()
    each = [
        segmentation_losses(logits[k : k + 1], labels[k : k + 1], LossSettings(), annotated=drawn[k : k + 1])
        for k in range(2)
    ]
    assert entropy == pytest.approx(sum(one["cross_entropy"].item() for one in each) / 2, rel=1e-5)
