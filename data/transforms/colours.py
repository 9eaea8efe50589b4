"""Colours as the networks for images take them."""

from collections.abc import Sequence

import torch
import torchvision.transforms.v2.functional as functional
from torch import Tensor


def normalised(image: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """An image (3, H, W) of uint8 as float32 with the colours' mean and deviation, for values in [0, 1], taken out."""
    return functional.normalize(functional.to_dtype(image, torch.float32, scale=True), list(mean), list(std))
