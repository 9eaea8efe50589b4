"""Arithmetic of boxes (x1, y1, x2, y2) in pixels, in float32."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.ops import box_iou, clip_boxes_to_image

from medssm.models.detection.structures import Size

BOXES_AT_ONCE = 65536


@dataclass(frozen=True)
class BoxCoder:
    """Boxes as differences from others: of centres in sides of the other, and the logarithms of the ratios of sides.

    torchvision's coder limits how far a box grows, but not how far it shrinks.

    Attributes:
        stds: what the differences are divided by. side_ratio_clip: the least ratio of sides, and its inverse the
            largest.
    """

    stds: tuple[float, float, float, float]
    side_ratio_clip: float

    def encode(self, boxes: Tensor, targets: Tensor) -> Tensor:
        """Differences (n, 4) that turn boxes (n, 4) into targets (n, 4); all must have an area."""
        centers, sides = _center_form(boxes)
        target_centers, target_sides = _center_form(targets)
        differences = torch.cat([(target_centers - centers) / sides, (target_sides / sides).log()], dim=-1)
        return differences / differences.new_tensor(self.stds)

    def decode(self, boxes: Tensor, differences: Tensor, size: Size | None = None) -> Tensor:
        """Boxes (n, 4) moved by differences (n, 4), and cut off at an image of `size` (h, w) if there is one."""
        differences = differences.float() * differences.new_tensor(self.stds, dtype=torch.float32)
        limit = abs(math.log(self.side_ratio_clip))
        centers, sides = _center_form(boxes)
        centers = centers + differences[..., :2] * sides
        sides = sides * differences[..., 2:].clamp(-limit, limit).exp()
        moved = torch.cat([centers - sides / 2, centers + sides / 2], dim=-1)
        return moved if size is None else clip_boxes_to_image(moved, size)


def _center_form(boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Centres and sides, (..., 2) each."""
    first, last = boxes.float().split(2, dim=-1)
    return (first + last) / 2, last - first


def overlaps(objects: Tensor, boxes: Tensor) -> Tensor:
    """Intersection over union of every object (m, 4) with every box (n, 4), (m, n); 0 between boxes without area.

    A part of the boxes at a time: what lies in between takes several times the memory of the outcome.
    """
    if not len(objects) or not len(boxes):
        return objects.new_zeros(len(objects), len(boxes))
    parts = [box_iou(objects, part) for part in boxes.split(BOXES_AT_ONCE)]
    return torch.cat(parts, dim=1).nan_to_num(0.0)


def has_area(boxes: Tensor, min_side: float = 0.0) -> Tensor:
    """Which boxes (n, 4) have both sides above `min_side`, (n,) bool."""
    return (boxes[:, 2:] - boxes[:, :2] > min_side).all(dim=1)
