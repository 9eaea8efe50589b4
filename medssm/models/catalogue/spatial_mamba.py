"""What was published of Spatial-Mamba, and our own small one: Xiao et al., ICLR 2025, arXiv:2410.15091.

Weights: github.com/EdwardChasel/Spatial-Mamba, on Google Drive.
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

_SOURCE = "Xiao et al. 2024, arXiv:2410.15091"
_REMARK = "not said whether of the plain or of the averaged weights"


def _variant(name: str) -> "Variant":
    from medssm.models.spatial_mamba import VARIANTS

    return VARIANTS[name]


def _published(
    letter: str,
    size: str,
    top1: float,
    parameters: float,
    multiply_adds: float,
    drive: str,
    dense: tuple[PublishedDense, ...],
) -> ModelInfo:
    return replace(
        _info(f"spatialmamba-{letter.lower()}", f"Spatial-Mamba {letter}"),
        result=PublishedResult("top-1", top1, "ImageNet-1k validation", _SOURCE, _REMARK),
        cost=_cost(parameters, multiply_adds),
        weights=PublishedWeights("Apache-2.0", "", page=f"https://drive.google.com/file/d/{drive}/view"),
        dense=dense,
        aliases=(f"Spatial-Mamba-{letter}", f"SpatialMamba-{letter}", f"spatialmamba_{size}", f"spatial_mamba_{size}"),
    )


def _cost(parameters: float, multiply_adds: float) -> PublishedCost:
    return PublishedCost(parameters, multiply_adds, _SOURCE, counts=("norms", "scan"), scan_steps=7)


_DENSE_WEIGHTS = PublishedWeights("Apache-2.0", "", page="https://github.com/EdwardChasel/Spatial-Mamba")


def _mask_rcnn(schedule: str, ap: tuple[float, float], parameters: float, multiply_adds: float) -> PublishedDense:
    return published_detector("mask-rcnn", schedule, ap, _cost(parameters, multiply_adds), _DENSE_WEIGHTS)


def _upernet(miou: tuple[float, float], parameters: float, multiply_adds: float) -> PublishedDense:
    return published_segmenter(miou, _cost(parameters, multiply_adds), _DENSE_WEIGHTS)


def _info(name: str, title: str, size: int = 224) -> ModelInfo:
    return ModelInfo(
        name=name,
        title=title,
        system="Spatial-Mamba",
        task="classification",
        input_size=(size, size),
        patch_size=(1, 1),
        input=ImageInput(),
        in_channels=3,
        num_classes=1000,
        stem_entry="patch_embed.conv1.conv.weight",
        head_entry="head.bias",
        variant=partial(_variant, name),
    )


_T_DENSE = (
    _mask_rcnn("1x", (47.6, 42.9), 46, 261),
    _mask_rcnn("3x", (49.3, 43.6), 46, 261),
    _upernet((48.6, 49.4), 57, 936),
)
_S_DENSE = (
    _mask_rcnn("1x", (49.2, 44.0), 63, 315),
    _mask_rcnn("3x", (50.5, 44.6), 63, 315),
    _upernet((50.6, 51.4), 73, 992),
)
_B_DENSE = (_mask_rcnn("1x", (50.4, 45.1), 115, 494), _upernet((51.8, 52.6), 127, 1176))

MODELS = (
    replace(_info("spatialmamba-xs", "Spatial-Mamba XS, ours, learns in minutes on a CPU", 64), is_ours=True),
    _published("T", "tiny", 83.5, 27, 4.5, "19kXoqGSTuKKs4AHbdUSrdKZTwTWenLIW", _T_DENSE),
    _published("S", "small", 84.6, 43, 7.1, "1Wb3sYoWLpgmWrmHMYKwdgDwGPZaqM28O", _S_DENSE),
    _published("B", "base", 85.3, 96, 15.8, "1k8dHp2QRCOqBSgAi36YkhZp_O8LqOPjM", _B_DENSE),
)
