"""Where boxes are looked for: boxes of fixed sides on the grid of every level.

torchvision's AnchorGenerator rounds their sides to whole pixels and knows nothing of which lie in the image.
"""

import math

import torch
from torch import Tensor

from medssm.models.detection.settings import DetectorSettings
from medssm.models.detection.structures import Size


def anchors(grids: list[Size], settings: DetectorSettings, device: torch.device) -> list[Tensor]:
    """Of each level (H * W * ratios, 4), row by row, the ratios of a cell side by side.

    Args:
        grids: height and width of the levels.
    """
    return [
        _level_anchors(grid, stride, settings, device) for grid, stride in zip(grids, settings.strides, strict=True)
    ]


def _level_anchors(grid: Size, stride: int, settings: DetectorSettings, device: torch.device) -> Tensor:
    roots = torch.tensor(settings.anchor_ratios, device=device).sqrt()
    side = stride * settings.anchor_scale
    half = torch.stack([side / roots, side * roots], dim=1) / 2  # (ratios, x and y)
    rows, columns = (settings.anchor_center * stride + stride * torch.arange(n, device=device).float() for n in grid)
    centers = torch.stack(torch.meshgrid(rows, columns, indexing="ij")[::-1], dim=-1).reshape(-1, 1, 2)
    return torch.cat([centers - half, centers + half], dim=-1).reshape(-1, 4)


def usable(grids: list[Size], boxes: Tensor, size: Size, settings: DetectorSettings) -> Tensor:
    """Which anchors of all levels, (N, 4), an image of `size` (h, w) is learned from, (N,) bool.

    Smaller images of a batch lie on grids that are those of the largest one.
    """
    padded = [math.ceil(n / settings.padding_multiple) * settings.padding_multiple for n in size]
    flags = []
    for grid, stride in zip(grids, settings.strides, strict=True):
        is_row, is_column = (
            torch.arange(cells, device=boxes.device) < math.ceil(n / stride)
            for cells, n in zip(grid, padded, strict=True)
        )
        cell = (is_row[:, None] & is_column).reshape(-1, 1)
        flags.append(cell.expand(-1, len(settings.anchor_ratios)).reshape(-1))
    is_usable = torch.cat(flags)
    if settings.anchor_border is not None:
        border, (height, width) = settings.anchor_border, size
        left, top, right, bottom = boxes.unbind(1)
        is_usable &= (left >= -border) & (top >= -border) & (right < width + border) & (bottom < height + border)
    return is_usable
