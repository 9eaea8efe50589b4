"""Photographs with label maps as the input of a segmenter: random crops in training, resizing in evaluation.

Photographs are (H, W, 3) uint8 outside and (3, H, W) inside, label maps (H, W) uint8; IGNORED is what has no class.
Resizing is bilinear without smoothing and of label maps to the nearest, as OpenCV does it, with which the published
networks were trained.
"""

from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from medssm.data.images.labels import IGNORED
from medssm.data.transforms.colours import normalised
from medssm.data.transforms.photometric import PhotometricDistortion, distort
from medssm.data.transforms.settings import Positive, Probability, Settings

Size = tuple[int, int]
Colour = tuple[float, ...]
# How often a crop is drawn anew in which one class has too large a share.
TRIES = 10


class SceneAugmentation(Settings):
    """All random steps of training on photographs with label maps, in the order in which they are applied.

    The defaults are MMSegmentation's for ADE20K, which all published recipes here use.

    Attributes:
        short_side, long_side: in pixels, both multiplied by `ratio`: the photograph is resized, its sides' ratio kept,
            until either is reached.
        ratio: smallest and largest.
        crop: (H, W) in pixels. A smaller photograph is filled up at the right and the bottom, with the mean colour and
            no class.
        largest_share: of a class among the pixels of a crop that have one; more, or a single class, and the crop is
            drawn anew, at most 10 times. 1 for the first crop that is drawn.
        flip: probability of mirroring left and right.
        distortion: of the colours; None for none.
    """

    short_side: Positive = 512
    long_side: Positive = 2048
    ratio: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]] = (0.5, 2.0)
    crop: tuple[Positive, Positive] = (512, 512)
    largest_share: Annotated[float, Field(gt=0, le=1)] = 0.75
    flip: Probability = 0.5
    distortion: PhotometricDistortion | None = PhotometricDistortion()


def random_view(
    photograph: np.ndarray,
    labels: np.ndarray,
    settings: SceneAugmentation,
    colours: tuple[Colour, Colour],
    random: np.random.Generator,
) -> tuple[Tensor, Tensor]:
    """A random view (3, h, w) float32 of a photograph and its label map (h, w) uint8, of the size of the crop.

    Args:
        colours: mean and deviation, for values in [0, 1].
        random: all that is random comes from it.
    """
    ratio = random.uniform(*settings.ratio)
    height, width = photograph.shape[:2]
    size = fitted_size((height, width), int(settings.short_side * ratio), int(settings.long_side * ratio))
    image = resized_photograph(torch.from_numpy(photograph).permute(2, 0, 1), size)
    label_map = resized_labels(torch.from_numpy(labels), size)
    rows, columns = random_crop(label_map.numpy(), settings, random)
    image, label_map = image[:, rows, columns], label_map[rows, columns]
    if random.random() < settings.flip:
        image, label_map = image.flip(-1), label_map.flip(-1)
    if settings.distortion:
        pixels = distort(image.permute(1, 2, 0).contiguous().numpy(), settings.distortion, random)
        image = torch.from_numpy(pixels).permute(2, 0, 1)
    short = [0, settings.crop[1] - image.shape[2], 0, settings.crop[0] - image.shape[1]]
    return F.pad(normalised(image, *colours), short), F.pad(label_map, short, value=IGNORED)


def random_crop(labels: np.ndarray, settings: SceneAugmentation, random: np.random.Generator) -> tuple[slice, slice]:
    """Rows and columns of a crop of labels (H, W) in which no class has too large a share, or of the last one tried."""
    crop = _drawn(labels.shape, settings.crop, random)
    for _ in range(TRIES if settings.largest_share < 1 else 0):
        if is_mixed(labels[crop], settings.largest_share):
            break
        crop = _drawn(labels.shape, settings.crop, random)
    return crop


def is_mixed(labels: np.ndarray, largest_share: float) -> bool:
    """Whether labels (H, W) are of two classes or more, none with so large a share of the pixels that have a class."""
    counts = np.bincount(labels.ravel(), minlength=IGNORED + 1)[:IGNORED]
    return bool(np.count_nonzero(counts) > 1 and counts.max() < largest_share * counts.sum())


def _drawn(shape: tuple[int, ...], crop: Size, random: np.random.Generator) -> tuple[slice, slice]:
    starts = [int(random.integers(max(length - side, 0) + 1)) for length, side in zip(shape, crop, strict=True)]
    return slice(starts[0], starts[0] + crop[0]), slice(starts[1], starts[1] + crop[1])


def fitted_size(size: Size, short_side: int, long_side: int) -> Size:
    """The size (H, W) with the same ratio of sides whose shorter or longer side is as long as asked for.

    Source: the rounding is that of MMCV's imrescale.

    >>> fitted_size((600, 800), 512, 2048), fitted_size((100, 1000), 512, 2048)
    ((512, 683), (205, 2048))
    """
    height, width = size
    factor = min(short_side / min(size), long_side / max(size))
    return max(int(height * factor + 0.5), 1), max(int(width * factor + 0.5), 1)


def scaled_size(size: Size, ratio: float) -> Size:
    """A multiple of a size (H, W), rounded as `fitted_size` does."""
    return max(int(size[0] * ratio + 0.5), 1), max(int(size[1] * ratio + 0.5), 1)


def resized_photograph(image: Tensor, size: Size) -> Tensor:
    """An image (3, H, W) uint8 of another size."""
    if tuple(image.shape[1:]) == size:
        return image
    smooth = F.interpolate(image[None].float(), size, mode="bilinear", align_corners=False)[0]
    return smooth.round_().to(torch.uint8)


def resized_labels(labels: Tensor, size: Size) -> Tensor:
    """A label map (H, W) uint8 of another size, each pixel of the nearest one's class."""
    return F.interpolate(labels[None, None], size, mode="nearest")[0, 0]
