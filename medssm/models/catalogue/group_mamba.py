"""What was published of GroupMamba: Shaker et al., CVPR 2025, arXiv:2407.13772.

Weights: huggingface.co/Abdelrahman-shaker.
"""

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from medssm.models.info import (
    ImageInput,
    ModelInfo,
    PublishedCost,
    PublishedResult,
    PublishedWeights,
    published_detector,
    published_segmenter,
)

if TYPE_CHECKING:
    from medssm.models.variant import Variant

_SOURCE = "Shaker et al. 2024, arXiv:2407.13772"
_LICENCE = "MIT by the tag of the weights' page, whose text says non-commercial; code MIT"
# Of the file's listing; those of the other files are not known, nor has the name of the base file been seen.
_TINY_SIZE = 93_888_215


def _variant(name: str) -> "Variant":
    from medssm.models.group_mamba import VARIANTS

    return VARIANTS[name]


def _published(name: str, size: str, top1: float, cost: PublishedCost, file_size: int | None = None) -> ModelInfo:
    letter, repository = size[0], f"Abdelrahman-shaker/GroupMamba-{size}"
    return ModelInfo(
        name=name,
        title=f"GroupMamba {letter}",
        system="GroupMamba",
        task="classification",
        input_size=(224, 224),
        patch_size=(1, 1),
        input=ImageInput(),
        in_channels=3,
        num_classes=1000,
        result=PublishedResult(
            "top-1", top1, "ImageNet-1k validation", _SOURCE, "averaged weights, trained with a teacher"
        ),
        cost=cost,
        weights=PublishedWeights(
            _LICENCE,
            f"groupmamba_{size.lower()}_ema.pth",
            repository=repository,
            page=f"https://huggingface.co/{repository}",
            size=file_size,
        ),
        aliases=(
            f"groupmamba_{size.lower()}",
            f"GroupMamba-{letter}",
            f"GroupMamba-{size}",
            f"groupmamba-{size.lower()}",
        ),
        stem_entry="patch_embed1.conv.0.weight",
        head_entry="head.bias",
        variant=partial(_variant, name),
    )


_S_REMARK = (
    "7.21 by the count that meets the figures of T and B, 3 % more; the authors' counting program was not released. "
    "34 million parameters are 34.78 cut, or 34.27 without the distillation head"
)

_NOT_RELEASED = "neither code nor weights were published; ours is a reconstruction"
_DETECTOR_REMARK = "5 % less by the count that meets the classifier's; neither counter nor detector was released"
_SEGMENTER_REMARK = "49 million parameters are 49.76 cut, which is without the auxiliary head"
_T_DENSE = (
    published_detector(
        "mask-rcnn",
        "1x",
        (47.6, 42.9),
        PublishedCost(40, 279, _SOURCE, remark=_DETECTOR_REMARK),
        remark=_NOT_RELEASED,
    ),
    published_segmenter((48.6, 49.2), PublishedCost(49, 955, _SOURCE, remark=_SEGMENTER_REMARK), remark=_NOT_RELEASED),
)

MODELS = (
    replace(_published("groupmamba-t", "Tiny", 83.3, PublishedCost(23, 4.6, _SOURCE), _TINY_SIZE), dense=_T_DENSE),
    _published("groupmamba-s", "Small", 83.9, PublishedCost(34, 7.0, _SOURCE, remark=_S_REMARK)),
    _published("groupmamba-b", "Base", 84.5, PublishedCost(57, 14, _SOURCE)),
)
