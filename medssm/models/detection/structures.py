"""What detectors take and give."""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

Size = tuple[int, int]  # height and width, of an image before its padding
Sizes = Sequence[Size]


class Objects(NamedTuple):
    """The objects of one image, without crowd regions.

    Attributes:
        boxes: (n, 4) float32, x1, y1, x2, y2 in pixels of the resized image. labels: (n,) int64, from 0.
        masks: (n, h, w) bool or uint8, of the resized image, with or without its padding.
        seed: of the random samples that are drawn for this image.
    """

    boxes: Tensor
    labels: Tensor
    masks: Tensor
    seed: int


class Detections(NamedTuple):
    """What is seen in one image, the surest first.

    Attributes:
        boxes: (n, 4) float32, x1, y1, x2, y2 in pixels of the resized image. scores, labels: (n,).
        masks: (n, 28, 28) float32, probabilities within the box; `paste_masks` lays them out.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor
    masks: Tensor


class RawOutputs(NamedTuple):
    """Everything before boxes are read off: five levels of each of the first three, from the finest.

    Attributes:
        pyramid: (B, 256, H, W). objectness: (B, 3, H, W) logits. anchor_deltas: (B, 12, H, W).
        class_logits: of each stage, (rois, num_classes + 1). box_deltas: (rois, num_classes, 4).
            mask_logits: (rois, num_classes, 28, 28).
    """

    pyramid: list[Tensor]
    objectness: list[Tensor]
    anchor_deltas: list[Tensor]
    class_logits: list[Tensor]
    box_deltas: list[Tensor]
    mask_logits: list[Tensor]
