"""Masks laid out and cut out, beside loops over pixels."""

import pytest
import torch

from medssm.models.detection import paste_masks
from medssm.models.detection.masks import mask_targets


def plain_paste(mask, box, size):
    """Bilinear between the centres of cells, nothing beyond them, at the centre of every pixel."""
    cells = len(mask)
    x1, y1, x2, y2 = box
    pasted = torch.zeros(size, dtype=torch.bool)
    for row in range(size[0]):
        for column in range(size[1]):
            y = (row + 0.5 - y1) / (y2 - y1) * cells - 0.5
            x = (column + 0.5 - x1) / (x2 - x1) * cells - 0.5
            value = 0.0
            for i in (int(y // 1), int(y // 1) + 1):
                for j in (int(x // 1), int(x // 1) + 1):
                    if 0 <= i < cells and 0 <= j < cells:
                        value += mask[i, j].item() * (1 - abs(y - i)) * (1 - abs(x - j))
            pasted[row, column] = value >= 0.5
    return pasted


@pytest.mark.parametrize("box", [(10.3, 5.7, 40.2, 29.9), (-8.0, -5.5, 30.0, 80.0), (3.2, 4.1, 4.9, 5.0)])
def test_a_mask_fills_its_box(box):
    torch.manual_seed(0)
    masks = torch.rand(2, 28, 28)
    boxes = torch.tensor([box, (1.0, 2.0, 50.0, 38.0)])
    pasted = paste_masks(masks, boxes, (40, 60))
    for ours, mask, place in zip(pasted, masks, boxes.tolist(), strict=True):
        assert (ours != plain_paste(mask, place, (40, 60))).sum() <= 1  # a value of a half may fall on either side


def test_a_full_mask_colours_the_pixels_of_its_box():
    pasted = paste_masks(torch.ones(1, 28, 28), torch.tensor([[3.0, 4.0, 9.0, 6.0]]), (10, 12))
    expected = torch.zeros(10, 12, dtype=torch.bool)
    expected[4:6, 3:9] = True
    assert torch.equal(pasted[0], expected)


@pytest.mark.parametrize("box", [(5.0, 5.0, 5.0, 9.0), (100.0, 100.0, 120.0, 130.0), (-30.0, -30.0, -20.0, -25.0)])
def test_boxes_without_extent_or_outside_stay_empty(box):
    assert not paste_masks(torch.ones(1, 28, 28), torch.tensor([box]), (20, 30)).any()


def test_no_masks_are_pasted_to_none():
    assert paste_masks(torch.zeros(0, 28, 28), torch.zeros(0, 4), (20, 30)).shape == (0, 20, 30)


def test_targets_are_the_halves_of_the_objects_in_their_boxes():
    """Of twenty objects, so that more than one part of them is taken: the left or the right half of a square."""
    masks = torch.zeros(20, 64, 96, dtype=torch.bool)
    for number in range(20):
        start = 16 if number % 2 else 30
        masks[number, 10:38, start : start + 14] = True
    index = torch.tensor([19, 0, 7, 18, 1])
    boxes = torch.tensor([[16.0, 10.0, 44.0, 38.0]]).repeat(5, 1)
    targets = mask_targets(masks, index, boxes, 28)
    for target, number in zip(targets, index.tolist(), strict=True):
        assert target[:, :14].mean() == (1 if number % 2 else 0)
        assert target[:, 14:].mean() == (0 if number % 2 else 1)


def test_pasting_a_target_gives_the_mask_back():
    rows, columns = torch.meshgrid(torch.arange(80), torch.arange(100), indexing="ij")
    disc = ((rows - 40) ** 2 + (columns - 55) ** 2 < 25**2)[None]
    box = torch.tensor([[29.0, 14.0, 81.0, 66.0]])
    pasted = paste_masks(mask_targets(disc, torch.tensor([0]), box, 28), box, (80, 100))
    shared, either = (disc & pasted).sum(), (disc | pasted).sum()
    assert shared / either > 0.95


def test_no_boxes_have_no_targets():
    targets = mask_targets(torch.zeros(0, 8, 8), torch.zeros(0, dtype=torch.long), torch.zeros(0, 4), 28)
    assert targets.shape == (0, 28, 28)
