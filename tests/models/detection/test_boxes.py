"""Boxes, their differences and overlaps, and the anchors, beside their formulas."""

import math
from dataclasses import replace
from math import e

import pytest
import torch

from medssm.models.detection import CASCADE_MASK_RCNN, MASK_RCNN
from medssm.models.detection.anchors import anchors, usable
from medssm.models.detection.boxes import BoxCoder, has_area, overlaps

CODER = BoxCoder((0.1, 0.1, 0.2, 0.2), 16 / 1000)


def random_boxes(count, seed=0, extent=200.0):
    generator = torch.Generator().manual_seed(seed)
    first = extent * torch.rand(count, 2, generator=generator)
    return torch.cat([first, first + 1 + extent / 4 * torch.rand(count, 2, generator=generator)], dim=1)


def test_differences_of_a_box_are_its_formula():
    (x, y, w, h), (u, v, p, q) = (30.0, 40.0, 20.0, 10.0), (35.0, 38.0, 40.0, 5.0)
    corners = [[x - w / 2, y - h / 2, x + w / 2, y + h / 2], [u - p / 2, v - q / 2, u + p / 2, v + q / 2]]
    box, target = torch.tensor(corners).split(1)
    expected = [(u - x) / w / 0.1, (v - y) / h / 0.1, math.log(p / w) / 0.2, math.log(q / h) / 0.2]
    torch.testing.assert_close(CODER.encode(box, target), torch.tensor([expected]))


def test_differences_lead_back_to_the_box():
    boxes, targets = random_boxes(50), random_boxes(50, seed=1)
    torch.testing.assert_close(CODER.decode(boxes, CODER.encode(boxes, targets)), targets, rtol=1e-5, atol=1e-3)


def test_sides_grow_and_shrink_by_a_limited_ratio_while_centres_move_freely():
    box = torch.tensor([[0.0, 0.0, 10.0, 10.0]])
    x1, y1, x2, y2 = CODER.decode(box, torch.tensor([[100.0, -100.0, 1000.0, -1000.0]]))[0].tolist()
    assert x2 - x1 == pytest.approx(10 * 62.5, rel=1e-4)
    assert y2 - y1 == pytest.approx(10 / 62.5, rel=1e-2)
    assert ((x1 + x2) / 2, (y1 + y2) / 2) == pytest.approx((5 + 100, 5 - 100), rel=1e-4)


def test_boxes_end_at_the_image():
    """The centre moves to (90, -14), the sides to 80 e and 60 e."""
    box, differences = torch.tensor([[10.0, 10.0, 90.0, 70.0]]), torch.tensor([[5.0, -9.0, 5.0, 5.0]])
    moved = CODER.decode(box, differences)[0].tolist()
    assert moved == pytest.approx([90 - 40 * e, -14 - 30 * e, 90 + 40 * e, -14 + 30 * e], rel=1e-5)
    assert CODER.decode(box, differences, (60, 100)).tolist() == [[0.0, 0.0, 100.0, 60.0]]


def test_half_precision_differences_are_widened_first():
    moved = CODER.decode(torch.tensor([[600.0, 700.0, 801.0, 903.0]]), torch.zeros(1, 4, dtype=torch.bfloat16))
    assert moved.dtype == torch.float32
    assert moved.tolist() == [[600.0, 700.0, 801.0, 903.0]]


def plain_overlap(a, b):
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height
    return width * height / union if union else 0.0


def test_overlaps_in_parts_are_those_of_pairs(monkeypatch):
    monkeypatch.setattr("medssm.models.detection.boxes.BOXES_AT_ONCE", 7)
    objects = torch.cat([random_boxes(4, extent=60), torch.tensor([[5.0, 5.0, 5.0, 5.0]])])
    boxes = torch.cat([random_boxes(20, seed=1, extent=60), objects[-1:]])
    expected = [[plain_overlap(a, b) for b in boxes.tolist()] for a in objects.tolist()]
    torch.testing.assert_close(overlaps(objects, boxes), torch.tensor(expected))


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0)])
def test_nothing_overlaps_nothing(shape):
    assert overlaps(random_boxes(shape[0]), random_boxes(shape[1])).shape == shape


def test_lines_have_no_area():
    boxes = torch.tensor([[0.0, 0.0, 0.001, 5.0], [3.0, 3.0, 3.0, 9.0], [3.0, 3.0, 9.0, 3.0]])
    assert has_area(boxes).tolist() == [True, False, False]


GRIDS = [(6, 9), (3, 5), (2, 3), (1, 2), (1, 1)]


def test_anchors_are_the_published_formula():
    levels = anchors(GRIDS, MASK_RCNN, torch.device("cpu"))
    for (rows, columns), stride, level in zip(GRIDS, (4, 8, 16, 32, 64), levels, strict=True):
        expected = []
        for row in range(rows):
            for column in range(columns):
                for ratio in (0.5, 1.0, 2.0):
                    height = stride * 8 * math.sqrt(ratio)
                    width = stride * 8 / math.sqrt(ratio)
                    x, y = column * stride, row * stride
                    expected.append([x - width / 2, y - height / 2, x + width / 2, y + height / 2])
        torch.testing.assert_close(level, torch.tensor(expected), rtol=1e-6, atol=1e-4)


def test_anchors_are_used_up_to_the_images_own_padding():
    """An image of 30x60 in a batch whose largest is 64x96: its own padding ends at 32x64."""
    settings = replace(MASK_RCNN, strides=(8, 16))
    grids = [(8, 12), (4, 6)]
    flags = usable(grids, torch.cat(anchors(grids, settings, torch.device("cpu"))), (30, 60), settings)
    fine, coarse = flags.split([8 * 12 * 3, 4 * 6 * 3])
    expected = [(row < 4 and column < 8) for row in range(8) for column in range(12) for _ in range(3)]
    assert fine.tolist() == expected
    assert coarse.view(4, 6, 3).all(dim=2).nonzero().amax(dim=0).tolist() == [1, 3]


def test_the_cascade_uses_anchors_within_the_image_alone():
    settings = replace(CASCADE_MASK_RCNN, strides=(4,))
    grids = [(16, 24)]
    boxes = torch.cat(anchors(grids, settings, torch.device("cpu")))
    flags = usable(grids, boxes, (60, 90), settings)
    expected = [x1 >= 0 and y1 >= 0 and x2 < 90 and y2 < 60 for x1, y1, x2, y2 in boxes.tolist()]
    assert 0 < sum(expected) < len(expected)
    assert flags.tolist() == expected
