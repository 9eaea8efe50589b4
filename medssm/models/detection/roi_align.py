"""What a pyramid holds in boxes, each read from the level that fits its size."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.ops import roi_align

from medssm.models.detection.settings import DetectorSettings

LEVELS = 4


def region_features(
    pyramid: Sequence[Tensor], boxes: Sequence[Tensor], side: int, settings: DetectorSettings
) -> Tensor:
    """Features of all boxes, image after image, (n, C, side, side) in float32.

    torchvision's MultiScaleRoIAlign can neither be aligned nor assign levels as here.

    Args:
        pyramid: (B, C, H, W) of each stride, of which the first four are read.
        boxes: (n, 4) of each image, in its pixels.
    """
    rois = torch.cat([torch.cat([b.new_full((len(b), 1), image), b], dim=1) for image, b in enumerate(boxes)])
    features = pyramid[0].new_zeros(len(rois), pyramid[0].shape[1], side, side, dtype=torch.float32)
    levels = level_of(rois[:, 1:], settings)
    for level, (maps, stride) in enumerate(zip(pyramid[:LEVELS], settings.strides[:LEVELS], strict=True)):
        chosen = (levels == level).nonzero()[:, 0]
        features[chosen] = aligned(maps, rois[chosen], stride, side, settings)
    return features


def aligned(maps: Tensor, rois: Tensor, stride: int, side: int, settings: DetectorSettings) -> Tensor:
    """Features of boxes (n, 5), the number of the image in front, from one level."""
    return roi_align(maps.float(), rois, side, 1 / stride, settings.roi_samples, settings.roi_aligned)


def level_of(boxes: Tensor, settings: DetectorSettings) -> Tensor:
    """The number of the level that each box (n, 4) is read from, (n,): one more for twice the side."""
    side = (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(dim=1).sqrt()
    return (side / settings.roi_scale + settings.roi_scale_eps).log2().floor().clamp(0, LEVELS - 1).long()
