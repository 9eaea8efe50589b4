"""How images with objects become the input of a detector, in training and in evaluation."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
import torchvision.transforms.v2.functional as functional
from PIL import Image
from pydantic import Field, field_validator
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.tv_tensors import BoundingBoxes, BoundingBoxFormat

from medssm.data.transforms.settings import Positive, Probability, Settings

Size = tuple[int, int]


@dataclass(frozen=True)
class AnnotatedImage:
    """An image and the objects in it.

    Attributes:
        image: (3, H, W), uint8 or, once normalised, float32.
        boxes: (n, 4) float32 in pixels: left, top, right, bottom.
        labels: (n,) int64.
        masks: (n, H, W) uint8.
    """

    image: Tensor
    boxes: Tensor
    labels: Tensor
    masks: Tensor

    @property
    def size(self) -> Size:
        """(H, W) in pixels."""
        height, width = self.image.shape[-2:]
        return height, width


class BoxCropSettings(Settings):
    """A random crop that half of the images go through before they are resized.

    Attributes:
        short_sides: the image is resized to one of them first; its long side is at most `long_side`.
        sides: smallest and largest side of the crop, drawn for height and width on their own; of a smaller image all.
    """

    short_sides: tuple[Positive, ...] = (400, 500, 600)
    long_side: Positive = 4200
    sides: tuple[Positive, Positive] = (384, 600)

    @field_validator("sides")
    @classmethod
    def _smallest_comes_first(cls, sides: tuple[int, int]) -> tuple[int, int]:
        if sides[0] > sides[1]:
            raise ValueError(f"the smallest must come first, found {sides[0]} and {sides[1]}; exchange them")
        return sides


class DetectionAugmentation(Settings):
    """All random steps of training, in the order in which they are applied: flip, perhaps a crop, resizing.

    The defaults are the "1x" of MMDetection; its "3x" has more short sides, and a crop.

    Attributes:
        flip: probability of mirroring left and right.
        crop: half of the images are cropped before they are resized; None for no image.
        short_sides, long_side: in pixels: of the short sides one is drawn, and the image is resized, its ratio kept,
            until its short side or its long side is reached.
    """

    flip: Probability = 0.5
    crop: BoxCropSettings | None = None
    short_sides: Annotated[tuple[Positive, ...], Field(min_length=1)] = (800,)
    long_side: Positive = 1333


def augmented(
    example: AnnotatedImage, settings: DetectionAugmentation, generator: np.random.Generator
) -> AnnotatedImage:
    """A random view of an image of uint8. Objects of which nothing is left in it are gone."""
    if generator.random() < settings.flip:
        example = flipped(example)
    if settings.crop and generator.random() < 0.5:
        short = int(generator.choice(settings.crop.short_sides))
        example = resized_example(example, resized_size(example.size, short, settings.crop.long_side))
        example = cropped_example(example, random_window(example.size, settings.crop.sides, generator))
    short = int(generator.choice(settings.short_sides))
    return resized_example(example, resized_size(example.size, short, settings.long_side))


def flipped(example: AnnotatedImage) -> AnnotatedImage:
    """The mirror image, left and right exchanged."""
    boxes = functional.horizontal_flip(_boxes(example))
    image, masks = (functional.horizontal_flip(picture) for picture in (example.image, example.masks))
    return AnnotatedImage(image, boxes.as_subclass(Tensor), example.labels, masks)


def resized_size(size: Size, short_side: int, long_side: int) -> Size:
    """The size of an image that is enlarged or made smaller, its ratio kept, until either limit is reached.

    >>> resized_size((480, 640), 800, 1333), resized_size((427, 1000), 800, 1333)
    ((800, 1067), (569, 1333))

    Source: `rescale_size` of MMCV, which rounds halves up.
    """
    scale = min(long_side / max(size), short_side / min(size))
    height, width = (int(side * scale + 0.5) for side in size)
    return max(1, height), max(1, width)


def resized_example(example: AnnotatedImage, size: Size) -> AnnotatedImage:
    """The image in another size; between its pixels it is interpolated linearly, without smoothing, as OpenCV does."""
    if size == example.size:
        return example
    boxes = functional.clamp_bounding_boxes(functional.resize(_boxes(example), list(size)))
    image = functional.resize(example.image, list(size), InterpolationMode.BILINEAR, antialias=False)
    masks = example.masks.new_empty((0, *size))
    if len(example.masks):
        masks = functional.resize(example.masks, list(size), InterpolationMode.NEAREST)
    return AnnotatedImage(image, boxes.as_subclass(Tensor), example.labels, masks)


def on_original(boxes: Tensor, size: Size, original: Size) -> Tensor:
    """Boxes (n, 4) on an image that was resized to `size`, in pixels of the original and within it; both (h, w)."""
    height, width = original
    scale = boxes.new_tensor([width / size[1], height / size[0]]).repeat(2)
    return torch.minimum((boxes * scale).clamp(min=0), boxes.new_tensor([width, height]).repeat(2))


def random_window(size: Size, sides: tuple[int, int], generator: np.random.Generator) -> tuple[int, int, int, int]:
    """Top, left, height and width of a crop.

    Source: `RandomCrop` of MMDetection with `absolute_range`.
    """
    smallest, largest = sides
    height, width = (int(generator.integers(min(side, smallest), min(side, largest), endpoint=True)) for side in size)
    top, left = (
        int(generator.integers(0, side - part, endpoint=True)) for side, part in zip(size, (height, width), strict=True)
    )
    return top, left, height, width


def cropped_example(example: AnnotatedImage, window: tuple[int, int, int, int]) -> AnnotatedImage:
    """A part of an image, and the objects whose boxes reach into it."""
    top, left, height, width = window
    part = (..., slice(top, top + height), slice(left, left + width))
    boxes = (example.boxes - torch.tensor([left, top, left, top])).clamp(min=0)
    boxes = torch.minimum(boxes, torch.tensor([width, height, width, height]))
    kept = (boxes[:, 2:] > boxes[:, :2]).all(1)
    return AnnotatedImage(example.image[part], boxes[kept], example.labels[kept], example.masks[kept][part])


def padded_together(images: Sequence[Tensor], multiple: int) -> Tensor:
    """One batch (B, 3, H, W) of images of several sizes, with zeros at the right and the bottom.

    Args:
        multiple: of which H and W are made.
    """
    height, width = (-(-max(image.shape[axis] for image in images) // multiple) * multiple for axis in (1, 2))
    batch = images[0].new_zeros((len(images), 3, height, width))
    for place, image in zip(batch, images, strict=True):
        place[:, : image.shape[1], : image.shape[2]] = image
    return batch


def to_tensor(image: Image.Image) -> Tensor:
    """An RGB image as (3, H, W) uint8."""
    return functional.pil_to_tensor(image)


def _boxes(example: AnnotatedImage) -> BoundingBoxes:
    return BoundingBoxes(example.boxes, format=BoundingBoxFormat.XYXY, canvas_size=example.size)
