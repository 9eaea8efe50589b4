"""Which level a box is read from, and what is read, beside loops over cells."""

import math

import pytest
import torch

from medssm.models.detection import MASK_RCNN
from medssm.models.detection.roi_align import level_of, region_features


@pytest.mark.parametrize(
    ("width", "height", "level"),
    [
        (0, 30, 0),
        (10, 10, 0),
        (111.9, 111.9, 0),
        (112, 112, 1),
        (56, 224, 1),
        (224, 224, 2),
        (447, 447, 2),
        (449, 449, 3),
        (5000, 5000, 3),
    ],
)
def test_twice_the_side_is_one_level_up(width, height, level):
    box = torch.tensor([[3.0, 4.0, 3.0 + width, 4.0 + height]])
    assert level_of(box, MASK_RCNN).tolist() == [level]


def bilinear(plane, y, x):
    height, width = plane.shape
    if y < -1 or y > height or x < -1 or x > width:
        return 0.0
    y, x = min(max(y, 0.0), height - 1), min(max(x, 0.0), width - 1)
    top, left = int(y), int(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    v, u = y - top, x - left
    upper = plane[top, left] * (1 - u) + plane[top, right] * u
    lower = plane[bottom, left] * (1 - u) + plane[bottom, right] * u
    return float(upper * (1 - v) + lower * v)


def plain_roi_align(plane, box, stride, side):
    """Means of bilinear values; positions are those of cells' centres, as many a bin as it covers cells."""
    x1, y1, x2, y2 = (n / stride - 0.5 for n in box)
    height, width = (y2 - y1) / side, (x2 - x1) / side
    rows, columns = math.ceil(height), math.ceil(width)
    out = torch.zeros(side, side)
    for i in range(side):
        for j in range(side):
            values = [
                bilinear(plane, y1 + (i + (m + 0.5) / rows) * height, x1 + (j + (n + 0.5) / columns) * width)
                for m in range(rows)
                for n in range(columns)
            ]
            out[i, j] = sum(values) / len(values)
    return out


def test_boxes_of_every_image_are_read_from_their_levels():
    torch.manual_seed(0)
    pyramid = [torch.randn(2, 1, 512 // stride, 640 // stride) for stride in MASK_RCNN.strides]
    boxes = [
        torch.tensor([[100.3, 7.1, 160.9, 40.0], [0.0, 0.0, 300.0, 250.0]]),
        torch.tensor([[-3.0, 5.0, 620.0, 511.0], [30.0, 200.0, 170.0, 330.0]]),
    ]
    levels = [[0, 2], [3, 1]]
    ours = region_features(pyramid, boxes, 7, MASK_RCNN)
    expected = [
        plain_roi_align(pyramid[level][image, 0], box, 4 << level, 7)
        for image, (image_boxes, image_levels) in enumerate(zip(boxes, levels, strict=True))
        for box, level in zip(image_boxes.tolist(), image_levels, strict=True)
    ]
    torch.testing.assert_close(ours[:, 0], torch.stack(expected), rtol=1e-4, atol=1e-4)


def test_an_image_without_boxes_gives_none():
    pyramid = [torch.randn(1, 3, 64 // stride, 64 // stride) for stride in MASK_RCNN.strides]
    assert region_features(pyramid, [torch.zeros(0, 4)], 7, MASK_RCNN).shape == (0, 3, 7, 7)
