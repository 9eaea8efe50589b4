"""RandAugment of clips: the same few operations, at the same strength, on every frame."""

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field
from timm.data.auto_augment import rand_augment_transform
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional

from medssm.data.transforms.randomness import global_draws_from
from medssm.data.transforms.settings import Magnitude, Positive, Probability, Settings

STRONGEST = 10.0


class RandAugmentSettings(Settings):
    """Which operations there are, and how they are drawn.

    Attributes:
        operations: "pytorchvideo" draws from that library's 14 without putting one back; "timm" from its 15 of the
            "increasing" set, with putting back.
        magnitude, deviation: the strength is N(magnitude, deviation) within [0, 10].
        layers: operations per clip. probability: that one of them is applied.
    """

    operations: Literal["pytorchvideo", "timm"]
    magnitude: int = Field(9, ge=0, le=10)
    layers: Positive = 4
    probability: Probability = 0.5
    deviation: Magnitude = 0.5


def rand_augment(frames: Tensor, settings: RandAugmentSettings, generator: np.random.Generator) -> Tensor:
    """The frames (T, 3, H, W) uint8 with a few operations applied to all of them."""
    if settings.operations == "timm":
        return _by_timm(frames, settings, generator)
    for operation in generator.permutation(list(_OPERATIONS))[: settings.layers]:
        if generator.random() < settings.probability:
            strength = float(np.clip(generator.normal(settings.magnitude, settings.deviation), 0, STRONGEST))
            sign = 1 if generator.random() < 0.5 else -1
            frames = _OPERATIONS[operation](frames, strength / STRONGEST, sign)
    return frames


def _by_timm(frames: Tensor, settings: RandAugmentSettings, generator: np.random.Generator) -> Tensor:
    """timm's operations on pictures of Pillow, each frame with the draws of the first."""
    augment, seed = _timm_transform(settings), int(generator.integers(2**63))
    pictures = []
    for frame in frames:
        with global_draws_from(np.random.default_rng(seed)):
            pictures.append(np.asarray(augment(functional.to_pil_image(frame))))
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)


@lru_cache
def _timm_transform(settings: RandAugmentSettings) -> Callable[[Any], Any]:
    from timm.data.transforms import str_to_pil_interp

    text = f"rand-m{settings.magnitude}-n{settings.layers}-p{settings.probability:g}-mstd{settings.deviation:g}-inc1"
    return rand_augment_transform(text, {"interpolation": str_to_pil_interp("bicubic"), "img_mean": (128, 128, 128)})


def _affine(
    frames: Tensor, angle: float = 0.0, translate: tuple[float, float] = (0, 0), shear: tuple[float, float] = (0, 0)
) -> Tensor:
    """Shears from the upper left corner; what comes in from outside is black."""
    return functional.affine(
        frames,
        angle,
        list(translate),
        1.0,
        [math.degrees(math.atan(part)) for part in shear],
        interpolation=InterpolationMode.BILINEAR,
        center=[0.0, 0.0] if any(shear) else None,
    )


def _posterize(frames: Tensor, strength: float, sign: int) -> Tensor:
    return functional.posterize(frames, 4 - int(4 * strength))


def _solarize(frames: Tensor, strength: float, sign: int) -> Tensor:
    """The library's threshold is for values in [0, 1], but MMAction2 hands it 0 to 255: nearly all is inverted."""
    return functional.solarize(frames, 1 - strength)


# PyTorchVideo 0.1.5, transforms/augmentations.py and rand_augment.py, as MMAction2 calls it. Each takes the frames, the
# strength from 0 to 1, and a sign.
_OPERATIONS: dict[str, Callable[[Tensor, float, int], Tensor]] = {
    "brightness": lambda frames, strength, sign: functional.adjust_brightness(frames, 1 + sign * 0.9 * strength),
    "contrast": lambda frames, strength, sign: functional.adjust_contrast(frames, 1 + sign * 0.9 * strength),
    "saturation": lambda frames, strength, sign: functional.adjust_saturation(frames, 1 + sign * 0.9 * strength),
    "sharpness": lambda frames, strength, sign: functional.adjust_sharpness(frames, 1 + sign * 0.9 * strength),
    "autocontrast": lambda frames, strength, sign: functional.autocontrast(frames),
    "equalize": lambda frames, strength, sign: functional.equalize(frames),
    "invert": lambda frames, strength, sign: functional.invert(frames),
    "rotate": lambda frames, strength, sign: _affine(frames, angle=sign * 30 * strength),
    "posterize": _posterize,
    "solarize": _solarize,
    "shear_x": lambda frames, strength, sign: _affine(frames, shear=(sign * 0.3 * strength, 0)),
    "shear_y": lambda frames, strength, sign: _affine(frames, shear=(0, sign * 0.3 * strength)),
    "translate_x": lambda frames, strength, sign: _affine(
        frames, translate=(sign * 0.45 * strength * frames.shape[3], 0)
    ),
    "translate_y": lambda frames, strength, sign: _affine(
        frames, translate=(0, sign * 0.45 * strength * frames.shape[2])
    ),
}
