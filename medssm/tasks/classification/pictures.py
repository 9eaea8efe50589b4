"""Images with what a network answered to them."""

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from medssm.models.info import ImageInput
from medssm.tasks.answers import SIDE, titled
from medssm.tasks.classifier import Classification
from medssm.tasks.files import read_photograph


def answered_image(found: Classification) -> np.ndarray:
    """The image with its likeliest class, (H, W, 3) uint8."""
    return titled(np.array(read_photograph(found.path).resize((SIDE, SIDE))), found)


def colours(image: Tensor, preparation: ImageInput) -> np.ndarray:
    """A normalised image (3, H, W) as it was, at the size of a contact sheet: (SIDE, SIDE, 3) uint8."""
    mean, std = (torch.tensor(values)[:, None, None] for values in (preparation.mean, preparation.std))
    shown = (image.float().cpu() * std + mean).clamp(0, 1) * 255
    image_as_it_was = Image.fromarray(shown.permute(1, 2, 0).round().to(torch.uint8).numpy())
    return np.asarray(image_as_it_was.resize((SIDE, SIDE)))
