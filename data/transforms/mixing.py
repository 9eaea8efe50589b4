"""Mixing the images of a batch with each other, and their labels with them: Mixup and CutMix."""

from typing import Literal

import numpy as np
import torch
from pydantic import Field
from timm.data.mixup import Mixup, mixup_target
from torch import Tensor

from medssm.data.transforms.randomness import global_draws_from
from medssm.data.transforms.settings import Magnitude, Probability, Settings
from medssm.errors import UsageError


class MixingSettings(Settings):
    """Mixup, CutMix and label smoothing; the defaults are those of all five systems.

    Attributes:
        mixup: alpha of Mixup (arXiv:1710.09412), whose share of the first image is Beta(alpha, alpha); 0 for none.
        cutmix: alpha of CutMix (arXiv:1905.04899); the share is that of the box as the border clips it. 0 for none.
        probability: that a batch, or an image in the other modes, is mixed at all.
        switch_probability: of CutMix where both are on.
        mode: "batch" draws once for the batch, "pair" for each pair of images that are mixed, "elem" for each image.
        label_smoothing: share of the target that is spread evenly over all classes.
    """

    mixup: Magnitude = 0.8
    cutmix: Magnitude = 1.0
    probability: Probability = 1.0
    switch_probability: Probability = 0.5
    mode: Literal["batch", "pair", "elem"] = "batch"
    label_smoothing: float = Field(0.1, ge=0, lt=1)

    @property
    def mixes(self) -> bool:
        """Whether any batch is ever mixed."""
        return self.probability > 0 and (self.mixup > 0 or self.cutmix > 0)


def mix(
    images: Tensor, labels: Tensor, num_classes: int, settings: MixingSettings, generator: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """The images mixed with those of the batch in reverse order, and their soft targets.

    Everything random follows from the generator. `images` is left as it is.

    Args:
        images: (B, C, H, W), normalised.
        labels: (B,) integers, on the same device.

    Returns: images (B, C, H, W) and targets (B, num_classes) float32, each row of which sums to 1.
    Raises: UsageError if a batch that is to be mixed has an odd number of images.
    """
    if not settings.mixes:
        return images, mixup_target(labels, num_classes, smoothing=settings.label_smoothing)
    if len(images) % 2:
        raise UsageError(f"mixing images needs an even batch size, found {len(images)}; change it, or turn mixing off")
    mixup = Mixup(
        mixup_alpha=settings.mixup,
        cutmix_alpha=settings.cutmix,
        prob=settings.probability,
        switch_prob=settings.switch_probability,
        mode=settings.mode,
        label_smoothing=settings.label_smoothing,
        num_classes=num_classes,
    )
    with global_draws_from(generator), torch.no_grad():
        mixed, targets = mixup(images.clone(), labels)
    return mixed, targets.float()
