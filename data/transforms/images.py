"""How images become the input of a classifier, in training and in evaluation, built of timm's transforms."""

import re
from collections.abc import Callable
from typing import Annotated, Any, Literal

import numpy as np
from PIL import Image
from pydantic import Field, field_validator
from timm.data.auto_augment import RandAugment, posterize
from timm.data.transforms_factory import transforms_imagenet_eval, transforms_imagenet_train
from torch import Tensor

from medssm.data.transforms.randomness import global_draws_from
from medssm.data.transforms.settings import Magnitude, Positive, Probability, Settings

Size = tuple[int, int]
Colour = tuple[float, ...]
CropMode = Literal["center", "squash"]
Interpolation = Literal["bicubic", "bilinear"]
TrainingTransform = Callable[[Image.Image, np.random.Generator], Tensor]
EvaluationTransform = Callable[[Image.Image], Tensor]

# timm passes over what it does not know.
_RAND_AUGMENT = re.compile(r"rand(-(m|n|inc|mmax)\d+|-(p|mstd)\d+(\.\d+)?|-t(weights|3a|3aw))*")


class ImageAugmentation(Settings):
    """All random steps of training on single images, in the order in which they are applied.

    The defaults are what Spatial-Mamba and GroupMamba publish: DeiT's recipe (arXiv:2012.12877, table 9).

    Attributes:
        area: smallest and largest share of the image that a crop covers.
        aspect: smallest and largest width over height of a crop, before it is resized to the input.
        interpolation: of resizing, and of RandAugment's shifts and turns; "random" draws bilinear or bicubic each time.
        flip: probability of mirroring left and right.
        rand_augment: operations as timm spells them: `rand-m9-mstd0.5-inc1` draws two with replacement, each applied
            with probability 0.5 at magnitude N(9, 0.5) within [0, 10], "increasing" with it. None for none.
        colour_jitter: brightness, contrast and saturation are each multiplied by U(1 - jitter, 1 + jitter), in random
            order; the hue stays. 0 for none.
        jitter_beside_rand_augment: timm leaves the jitter out where RandAugment is on, and so do recipes that name
            both and use timm; true for those in which both happen (Mamba-ND).
        erasing: probability that a box of 2 % to 1/3 of the image, 0.3 to 3.3 times as high as wide, is erased.
        erasing_mode: with what: "pixel" draws every value from N(0, 1) after normalisation, "rand" one colour per box,
            "const" is the mean colour. (Mamba-ND draws the same before normalising, so that black and white clip it.)
        erasing_count: largest number of boxes, which share the area.
    """

    area: tuple[Annotated[float, Field(gt=0, le=1)], Annotated[float, Field(gt=0, le=1)]] = (0.08, 1.0)
    aspect: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]] = (3 / 4, 4 / 3)
    interpolation: Literal["bicubic", "bilinear", "random"] = "bicubic"
    flip: Probability = 0.5
    rand_augment: str | None = "rand-m9-mstd0.5-inc1"
    colour_jitter: Magnitude = 0.4
    jitter_beside_rand_augment: bool = False
    erasing: Probability = 0.25
    erasing_mode: Literal["pixel", "rand", "const"] = "pixel"
    erasing_count: Positive = 1

    @field_validator("area", "aspect")
    @classmethod
    def _smallest_comes_first(cls, limits: tuple[float, float]) -> tuple[float, float]:
        if limits[0] > limits[1]:
            raise ValueError(f"the smallest must come first, found {limits[0]:g} and {limits[1]:g}; exchange them")
        return limits

    @field_validator("rand_augment")
    @classmethod
    def _timm_understands_it(cls, text: str | None) -> str | None:
        if text is not None and not _RAND_AUGMENT.fullmatch(text):
            raise ValueError(f"{text!r} is no RandAugment as timm spells it, such as 'rand-m9-mstd0.5-inc1'")
        return text


def training_transform(augmentation: ImageAugmentation, size: Size, mean: Colour, std: Colour) -> TrainingTransform:
    """A function of an RGB image and a generator that gives a random view of it, (3, H, W) float32.

    Everything random in a call follows from the generator. timm draws from the process's global generators, which are
    set for the call and put back after it, so it must not run in two threads of a process at once.

    Args:
        size: (H, W) in pixels.
        mean, std: of the colours, for values in [0, 1].
    """
    transform = transforms_imagenet_train(
        img_size=size,
        scale=augmentation.area,
        ratio=augmentation.aspect,
        hflip=augmentation.flip,
        color_jitter=augmentation.colour_jitter,
        force_color_jitter=augmentation.jitter_beside_rand_augment,
        auto_augment=augmentation.rand_augment,
        interpolation=augmentation.interpolation,
        mean=mean,
        std=std,
        re_prob=augmentation.erasing,
        re_mode=augmentation.erasing_mode,
        re_count=augmentation.erasing_count,
    )
    for step in transform.transforms:
        if isinstance(step, RandAugment):
            _let_posterize_keep_no_bits(step)

    def view(image: Image.Image, generator: np.random.Generator) -> Tensor:
        with global_draws_from(generator):
            return transform(image)

    return view


def _let_posterize_keep_no_bits(rand_augment: RandAugment) -> None:
    """At magnitude 10, to which 2 % of N(9, 0.5) are clipped, no bit is kept.

    The published runs had a black image there; Pillow 13 raises ValueError for 0 bits.
    """
    for operation in rand_augment.ops:
        if operation.aug_fn is posterize:
            operation.aug_fn = _posterized


def _posterized(image: Image.Image, bits_to_keep: int, **settings: Any) -> Image.Image:
    return posterize(image, bits_to_keep, **settings) if bits_to_keep else Image.new("RGB", image.size)


def evaluation_transform(
    size: Size,
    crop_pct: float,
    crop_mode: CropMode,
    interpolation: Interpolation,
    mean: Colour,
    std: Colour,
) -> EvaluationTransform:
    """A function of an RGB image that gives its middle, (3, H, W) float32.

    The image is resized to floor(size / crop_pct): its shorter side with "center", both sides with "squash", which does
    not keep the ratio. Then the middle is cut out.

    Args:
        size: (H, W) in pixels.
        mean, std: of the colours, for values in [0, 1].
    """
    return transforms_imagenet_eval(
        img_size=size, crop_pct=crop_pct, crop_mode=crop_mode, interpolation=interpolation, mean=mean, std=std
    )
