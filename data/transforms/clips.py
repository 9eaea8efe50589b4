"""How the frames of a clip become the input of a network in training: every random step is the same in all of them."""

from collections.abc import Callable
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torchvision.transforms import RandomErasing, RandomResizedCrop
from torchvision.transforms.v2 import functional

from medssm.data.transforms.rand_augment import RandAugmentSettings, rand_augment
from medssm.data.transforms.randomness import global_draws_from
from medssm.data.transforms.settings import Positive, Probability, Settings
from medssm.data.transforms.strips import middle_strip

Size = tuple[int, int]
Colour = tuple[float, ...]
ClipTransform = Callable[[Tensor, np.random.Generator], Tensor]

# Share of the picture, and height over width, of the box that is erased.
ERASED_AREA, ERASED_ASPECT = (0.02, 1 / 3), (0.3, 10 / 3)


class ClipAugmentation(Settings):
    """All random steps of training on single clips, in the order in which they are applied.

    Attributes:
        short_side: that frames are resized to as they are read; None for their own size.
        rand_augment: None for none.
        area: smallest and largest share of the picture that a crop covers.
        aspect: smallest and largest width over height of a crop, before it is resized to the input.
        flip: probability of mirroring left and right.
        erasing: probability that a box is erased.
        erasing_values: what a box is filled with, a value for each pixel of each frame: "uniform" from black to white,
            or "normal" around the mean colour.
    """

    short_side: Positive | None = 256
    rand_augment: RandAugmentSettings | None = None
    area: tuple[Annotated[float, Field(gt=0, le=1)], Annotated[float, Field(gt=0, le=1)]] = (0.08, 1.0)
    aspect: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]] = (3 / 4, 4 / 3)
    flip: Probability = 0.5
    erasing: Probability = 0.25
    erasing_values: Literal["uniform", "normal"] = "uniform"


def augment_clip(
    frames: Tensor,
    augmentation: ClipAugmentation,
    size: Size,
    mean: Colour,
    std: Colour,
    generator: np.random.Generator,
) -> Tensor:
    """A random view of a clip, (3, T, H, W) float32, normalised.

    Everything random follows from the generator. It draws from the process's global generators, which are put back, so
    it must not run in two threads of a process at once.

    Args:
        frames: (T, 3, h, w) uint8.
        size: (H, W) in pixels.
        mean, std: of the colours, for values in [0, 1].
    """
    if augmentation.rand_augment:
        frames = rand_augment(frames, augmentation.rand_augment, generator)
    with global_draws_from(generator):
        box = RandomResizedCrop.get_params(frames, list(augmentation.area), list(augmentation.aspect))
        frames = functional.resized_crop(frames, *box, list(size), antialias=True)
        if generator.random() < augmentation.flip:
            frames = functional.horizontal_flip(frames)
        clip = (frames.float() / 255).sub_(torch.tensor(mean).view(3, 1, 1)).div_(torch.tensor(std).view(3, 1, 1))
        if generator.random() < augmentation.erasing:
            _erase(clip, augmentation.erasing_values, mean, std)
    return clip.transpose(0, 1).contiguous()


def resized_frame(frame: Tensor, short_side: int | None) -> Tensor:
    """A frame (3, H, W) uint8 with a shorter side of so many pixels; None for its own. Of a long strip the middle."""
    if short_side is None:
        return frame
    rows, columns = middle_strip(*frame.shape[1:])
    return functional.resize(frame[:, rows, columns], [short_side], antialias=True)


def _erase(clip: Tensor, values: str, mean: Colour, std: Colour) -> None:
    """Fills the same box of all frames of a normalised clip (T, 3, H, W) with random values."""
    top, left, height, width, _ = RandomErasing.get_params(clip, ERASED_AREA, ERASED_ASPECT, value=[0.0])
    box = clip[:, :, top : top + height, left : left + width]
    if values == "normal":
        box.normal_()
    else:
        box.uniform_().sub_(torch.tensor(mean).view(3, 1, 1)).div_(torch.tensor(std).view(3, 1, 1))
