"""Random changes of a photograph's colours, as single-shot detectors and segmenters are trained with."""

from typing import Annotated

import numpy as np
from PIL import Image
from pydantic import Field

from medssm.data.transforms.settings import Magnitude, Probability, Settings

Range = tuple[Magnitude, Magnitude]
# Hue goes round in 180 steps where OpenCV keeps it in a byte, and in 256 where Pillow does.
_OPENCV_HUES, _PILLOW_HUES = 180, 256


class PhotometricDistortion(Settings):
    """Changes that are each drawn and applied on their own, in this order, contrast either second or last.

    Attributes:
        brightness: largest value added to all of 0 ... 255.
        contrast, saturation: smallest and largest factor of the colours and of the saturation.
        hue: largest turn, in steps of 2 degrees; the largest positive one is never drawn.
        probability: of each change.

    Source: MMSegmentation's PhotoMetricDistortion, after SSD (arXiv:1512.02325).
    """

    brightness: Magnitude = 32.0
    contrast: Range = (0.5, 1.5)
    saturation: Range = (0.5, 1.5)
    hue: Annotated[int, Field(ge=0, le=_OPENCV_HUES)] = 18
    probability: Probability = 0.5


def distort(pixels: np.ndarray, settings: PhotometricDistortion, random: np.random.Generator) -> np.ndarray:
    """The photograph (H, W, 3) uint8 in changed colours; the same for the same state of `random`."""
    if random.random() < settings.probability:
        pixels = _scaled(pixels, shift=random.uniform(-settings.brightness, settings.brightness))
    is_contrast_second = random.random() < 0.5
    if is_contrast_second:
        pixels = _with_contrast(pixels, settings, random)
    if random.random() < settings.probability:
        pixels = with_saturation(pixels, random.uniform(*settings.saturation))
    if random.random() < settings.probability:
        pixels = with_hue(pixels, int(random.integers(-settings.hue, max(settings.hue, 1))))
    return pixels if is_contrast_second else _with_contrast(pixels, settings, random)


def with_saturation(pixels: np.ndarray, factor: float) -> np.ndarray:
    """(H, W, 3) uint8 with its saturation, of hue, saturation and value, multiplied."""
    hsv = np.array(Image.fromarray(pixels).convert("HSV"))
    hsv[..., 1] = _scaled(hsv[..., 1], factor)
    return _from_hsv(hsv)


def with_hue(pixels: np.ndarray, turn: int) -> np.ndarray:
    """(H, W, 3) uint8 with its hue turned by so many steps of 2 degrees."""
    hsv = np.array(Image.fromarray(pixels).convert("HSV"))
    hsv[..., 0] += np.uint8(round(turn * _PILLOW_HUES / _OPENCV_HUES) % _PILLOW_HUES)  # goes round by itself
    return _from_hsv(hsv)


def _with_contrast(pixels: np.ndarray, settings: PhotometricDistortion, random: np.random.Generator) -> np.ndarray:
    if random.random() < settings.probability:
        return _scaled(pixels, random.uniform(*settings.contrast))
    return pixels


def _scaled(values: np.ndarray, factor: float = 1.0, shift: float = 0.0) -> np.ndarray:
    """Multiplied, shifted, cut off at 0 and 255 and rounded down, as uint8."""
    return np.clip(values.astype(np.float32) * np.float32(factor) + np.float32(shift), 0, 255).astype(np.uint8)


def _from_hsv(hsv: np.ndarray) -> np.ndarray:
    return np.array(Image.fromarray(hsv, "HSV").convert("RGB"))
