"""What was published of Mamba2D: Baty et al., arXiv:2412.16146.

Weights: github.com/cocoalex00/Mamba2D/releases (without a licence file).
"""

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from medssm.models.info import (
    ImageInput,
    ModelInfo,
    PublishedCost,
    PublishedDense,
    PublishedResult,
    PublishedWeights,
    published_detector,
    published_segmenter,
)

if TYPE_CHECKING:
    from medssm.models.variant import Variant

_PAPER = "Baty et al. 2026, arXiv:2412.16146"
_PREPRINT = "Baty et al. 2024, arXiv:2412.16146v1"
_RELEASES = "https://github.com/cocoalex00/Mamba2D/releases"
_LICENCE = "none stated by the authors: the repository has no licence file"


def _variant(name: str) -> "Variant":
    from medssm.models.mamba2d import VARIANTS

    return VARIANTS[name]


def _info(name: str, alias: str, top1: float, parameters: float, file: str, source: str = _PAPER) -> ModelInfo:
    """The entry of a variant; `parameters` in millions, `file` with the release that holds it."""
    release, filename = file.split("/")
    page = f"{_RELEASES}/tag/{release}"
    return ModelInfo(
        name=name,
        title=f"Mamba2D {alias}",
        system="Mamba2D",
        task="classification",
        input_size=(224, 224),
        patch_size=(1, 1),
        input=ImageInput(crop_pct=1.0),
        in_channels=3,
        num_classes=1000,
        stem_entry="backbone.ds.stem.conv.weight",
        head_entry="head.fc2.bias",
        variant=partial(_variant, name),
        pyramid_part="backbone",
        neck_groups=32,
        result=PublishedResult("top-1", top1, "ImageNet-1k validation", source),
        cost=PublishedCost(parameters, None, source),
        weights=PublishedWeights(_LICENCE, filename, url=f"{_RELEASES}/download/{file}", page=page),
        aliases=(alias, alias.replace("M2D", "Mamba2D")),
    )


def _dense(
    size: str,
    parameters: tuple[float, float],
    one: tuple[float, float],
    three: tuple[float, float],
    miou: tuple[float, float],
) -> tuple[PublishedDense, ...]:
    """What was published on a backbone of the second release.

    Args:
        parameters: in millions, of the detector and of the segmenter.
        one, three: AP of boxes and masks with the schedules 1x and 3x. miou: of one scale and of several.
    """
    detector, segmenter = (PublishedCost(millions, None, _PAPER) for millions in parameters)

    def weights(end: str) -> PublishedWeights:
        file = f"M2D-{size}-{end}.pth"
        return PublishedWeights(
            _LICENCE, file, url=f"{_RELEASES}/download/v2.0.0/{file}", page=f"{_RELEASES}/tag/v2.0.0"
        )

    return (
        published_detector("mask-rcnn", "1x", one, detector, weights("mask-rcnn-1x")),
        published_detector("mask-rcnn", "3x", three, detector, weights("mask-rcnn-3x")),
        published_segmenter(miou, segmenter, weights("upernet")),
    )


_N_DENSE = _dense("N", (26, 34), (42.8, 39.6), (47.2, 42.4), (43.1, 43.1))
_T_DENSE = _dense("T", (44, 53), (48.5, 43.8), (50.5, 44.7), (48.9, 49.3))
_S_DENSE = _dense("S", (67, 77), (50.4, 45.1), (52.2, 46.2), (51.7, 51.8))

MODELS = (
    replace(_info("mamba2d-n", "M2D-N", 79.6, 7, "v2.0.0/M2D-N-backbone.ckpt"), dense=_N_DENSE),
    replace(_info("mamba2d-t", "M2D-T", 84.0, 27, "v2.0.0/M2D-T-backbone.ckpt"), dense=_T_DENSE),
    replace(_info("mamba2d-s", "M2D-S", 85.3, 50, "v2.0.0/M2D-S-backbone.ckpt"), dense=_S_DENSE),
    _info("mamba2d-t-v1", "M2D-T-v1", 82.4, 27, "v1.0.0/M2D-T-ImNet-300-ep-EMA.ckpt", _PREPRINT),
)
