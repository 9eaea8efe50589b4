"""Masks between an image and the 28x28 cells that a head gives of a box."""

import math

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.ops import roi_align

from medssm.models.detection.settings import MASK_RCNN
from medssm.models.detection.structures import Size

OBJECTS_AT_ONCE = 16


def paste_masks(masks: Tensor, boxes: Tensor, size: Size, threshold: float = MASK_RCNN.mask_threshold) -> Tensor:
    """Masks laid out over an image of `size` (h, w), (n, h, w) bool.

    One after the other and within its box alone, so that little more memory is taken than the outcome has. Cells are
    areas whose centres are interpolated between, and beyond which is nothing, as in MMDetection (`_do_paste_mask`);
    torchvision widens boxes by a cell and rounds them to pixels first.

    Args:
        masks: (n, m, m), probabilities within the boxes.
        boxes: (n, 4), x1, y1, x2, y2 in pixels of that image.
    """
    pasted = torch.zeros(len(masks), *size, dtype=torch.bool, device=masks.device)
    for mask, box, canvas in zip(masks, boxes.tolist(), pasted, strict=True):
        columns, rows = (_pixels(box[axis], box[axis + 2], size[1 - axis]) for axis in (0, 1))
        if columns and rows:
            y, x = _places(rows, box[1], box[3], masks.device), _places(columns, box[0], box[2], masks.device)
            grid = torch.stack([x.expand(len(rows), -1), y[:, None].expand(-1, len(columns))], dim=-1)
            values = functional.grid_sample(mask[None, None].float(), grid[None], align_corners=False)[0, 0]
            canvas[rows.start : rows.stop, columns.start : columns.stop] = values >= threshold
    return pasted


def _pixels(first: float, last: float, length: int) -> range:
    """The pixels of an axis that a box may colour: its own and one more on each side."""
    return range(max(math.floor(first) - 1, 0), min(math.ceil(last) + 1, length))


def _places(pixels: range, first: float, last: float, device: torch.device) -> Tensor:
    """Where the centres of pixels lie in a box, from -1 to 1; nowhere in one without extent."""
    centers = torch.arange(pixels.start, pixels.stop, device=device) + 0.5
    if last <= first:
        return torch.full_like(centers, 2.0)
    return (centers - first) / (last - first) * 2 - 1


def mask_targets(
    masks: Tensor, index: Tensor, boxes: Tensor, side: int, threshold: float = MASK_RCNN.mask_threshold
) -> Tensor:
    """What a head should give in boxes (n, 4) for the objects `index` (n,) of an image, (n, side, side) of 0 and 1.

    Args:
        masks: (objects, h, w). A few become float32 at a time.
    """
    targets = torch.zeros(len(boxes), side, side, device=boxes.device)
    for start in range(0, len(masks), OBJECTS_AT_ONCE):
        chosen = ((index >= start) & (index < start + OBJECTS_AT_ONCE)).nonzero()[:, 0]
        rois = torch.cat([(index[chosen] - start)[:, None].to(boxes), boxes[chosen]], dim=1)
        planes = masks[start : start + OBJECTS_AT_ONCE, None].to(boxes)
        targets[chosen] = roi_align(planes, rois, side, aligned=True)[:, 0]
    return (targets >= threshold).float()
