"""Random crops and changes of a preprocessed case, decided by a seed alone."""

import math
import warnings
from collections.abc import Sequence

import numpy as np
import torch
from monai.data.meta_tensor import MetaTensor
from monai.transforms import (
    Compose,
    RandAffined,
    RandCropByPosNegLabel,
    RandomizableTransform,
    RandRotate90d,
    RandScaleIntensityd,
    RandShiftIntensityd,
)
from torch import Tensor

from medssm.data.scans.cache import CachedCase
from medssm.data.scans.transforms.crop import crop_padded, organ_centre
from medssm.data.scans.transforms.flip import RandPairedFlipd
from medssm.data.scans.transforms.settings import AffineSettings, AugmentationSettings, CropSettings
from medssm.data.scans.transforms.thin import RandThinSlabd
from medssm.errors import DataError

BOTH = ("image", "label")


class Augmentation:
    """Training crops of a case: the published pipeline by default, what the settings say otherwise.

    Everything random follows from the seed of a call: no state is kept between calls, so that a resumed run, another
    worker or another order of cases draws the same. Calls may run side by side in threads.

    Args:
        settings: the random steps and their strengths.
        pairs: label values of paired organs, for flips in mode "swap".
    """

    def __init__(self, settings: AugmentationSettings, pairs: Sequence[tuple[int, int]] = ()) -> None:
        self.settings = settings
        self.pairs = tuple(pairs)

    def __call__(self, case: CachedCase, seed: int | Sequence[int]) -> tuple[Tensor, Tensor]:
        """Crops of a case.

        Args:
            case: with labels.
            seed: one number or several, for instance (seed of the run, step, index in the batch).

        Returns: images (count, C, D, H, W) float32 and labels (count, D, H, W) uint8.
        """
        seeds = np.random.SeedSequence(seed).generate_state(1 + self.settings.crops.count)
        crops = random_crops(case, self.settings.crops, int(seeds[0]))
        changed = [self._change(crop, int(s)) for crop, s in zip(crops, seeds[1:], strict=True)]
        images, labels = (torch.stack([crop[key] for crop in changed]) for key in BOTH)
        return images, labels[:, 0]

    def _change(self, crop: dict[str, Tensor], seed: int) -> dict[str, Tensor]:
        changed = self._steps().set_random_state(seed=seed)(crop)
        return {key: _plain(changed[key]) for key in BOTH}

    def _steps(self) -> Compose:
        """Fresh transforms, because MONAI's keep what they drew last; those that never act are left out."""
        s = self.settings
        modes = (s.flips.x, s.flips.y, s.flips.z)
        steps: list[RandomizableTransform] = [
            RandThinSlabd(s.thin.slices, s.thin.probability),
            *(RandPairedFlipd(axis, mode, self.pairs, s.flips.probability) for axis, mode in enumerate(modes)),
            RandRotate90d(BOTH, prob=s.quarter_turns.probability, max_k=3, spatial_axes=(0, 1)),
            _small_affine(s.affine),
            RandScaleIntensityd("image", factors=s.intensity.scale, prob=s.intensity.scale_probability),
            RandShiftIntensityd("image", offsets=s.intensity.shift, prob=s.intensity.shift_probability),
        ]
        return Compose([step for step in steps if step.prob > 0])


def random_crops(case: CachedCase, settings: CropSettings, seed: int) -> list[dict[str, Tensor]]:
    """Windows of a case as {"image": (C, D, H, W), "label": (1, D, H, W)}, all of exactly the size asked for.

    Raises: DataError if the case has no labels, or nothing but air.
    """
    if case.label is None or case.candidates is None:
        raise DataError(f"{case.id}: has no label map to train on; give it one or leave it out of the training list")
    shape = case.label.shape
    if settings.centres == "organs":
        rng = np.random.RandomState(seed)
        reach = [settings.jitter * size for size in settings.size]
        centres = [organ_centre(case.candidates, shape, reach, settings.background, rng) for _ in range(settings.count)]
    else:
        centres = _published_centres(case, settings, seed)
    volumes = {"image": case.image, "label": case.label[None]}
    return [
        {key: crop_padded(volume, centre, settings.size, settings.padding) for key, volume in volumes.items()}
        for centre in centres
    ]


def _published_centres(case: CachedCase, settings: CropSettings, seed: int) -> list[tuple[int, ...]]:
    organs, background = case.centres.organs, case.centres.background
    if not len(organs) and not len(background):
        raise DataError(f"{case.id}: holds nothing but air in the intensity window; check the scan or the window")
    chooser = RandCropByPosNegLabel(settings.size, num_samples=settings.count, allow_smaller=True)
    chooser.set_random_state(seed=seed)
    with warnings.catch_warnings():  # that a case is without organs, or without anything else, is said at every crop
        warnings.simplefilter("ignore", UserWarning)
        chooser.randomize(case.reference[None], organs, background)
    return list(chooser.centers or ())


def _small_affine(settings: AffineSettings) -> RandAffined:
    return RandAffined(
        BOTH,
        prob=settings.probability,
        rotate_range=(math.radians(settings.degrees),) * 3,
        scale_range=(settings.scale,) * 3,
        mode=("bilinear", "nearest"),
        padding_mode="border",
    )


def _plain(volume: Tensor) -> Tensor:
    return volume.as_tensor() if isinstance(volume, MetaTensor) else volume
