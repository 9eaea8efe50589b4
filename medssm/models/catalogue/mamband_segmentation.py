"""What was published of Mamba-ND for volumes, and our own small one: Li, Singh & Grover, ECCV 2024, arXiv:2402.05892.

Weights: huggingface.co/jacklishufan/Mamba-ND (without a licence file).
"""

from functools import partial
from typing import TYPE_CHECKING

from medssm.models.info import ModelInfo, PublishedResult, PublishedWeights, VolumeInput

if TYPE_CHECKING:
    from medssm.models.variant import Variant

_SOURCE = "Li, Singh & Grover 2024, arXiv:2402.05892"
_REMARK = (
    "the best checkpoint by one figure on the six validation cases, perhaps of one case with background; not held out"
)
_LICENCE = "none stated by the authors: the repository has no licence file"


def _variant(name: str) -> "Variant":
    from medssm.models.mamband_segmentation import VARIANTS

    return VARIANTS[name]


def _published(name: str, title: str, dice: float, filename: str) -> ModelInfo:
    result = PublishedResult("Dice", dice, "BTCV validation", _SOURCE, _REMARK)
    weights = PublishedWeights(_LICENCE, filename, repository="jacklishufan/Mamba-ND")
    return _info(name, title, (96, 96, 96), (16, 16, 16), (1.5, 1.5, 2.0), result, weights)


def _info(
    name: str,
    title: str,
    input_size: tuple[int, int, int],
    patch_size: tuple[int, int, int],
    spacing: tuple[float, float, float],
    result: PublishedResult | None = None,
    weights: PublishedWeights | None = None,
) -> ModelInfo:
    return ModelInfo(
        name=name,
        title=title,
        system="Mamba-ND",
        task="segmentation",
        input_size=input_size,
        patch_size=patch_size,
        input=VolumeInput(spacing),
        in_channels=1,
        num_classes=14,
        is_ours=weights is None,
        result=result,
        weights=weights,
        stem_entry="vit.patch_embed.projection.weight",
        head_entry="out.conv.bias" if weights is None else "out.conv.conv.bias",
        variant=partial(_variant, name),
    )


MODELS = (
    _info("mamband-xs", "Mamba-ND XS, ours, learns in minutes on a CPU", (48, 48, 48), (8, 8, 8), (3.0, 3.0, 3.0)),
    _published("mamband-s", "Mamba-ND S", 83.1, "btcv/mamband-s.pt"),
    _published("mamband-s-plus", "Mamba-ND S+", 83.9, "btcv/mamband-s_plus.pt"),
    _published("mamband-b-32", "Mamba-ND B, decoder of 32", 82.7, "btcv/mamband-b-32.pt"),
    _published("mamband-b-64", "Mamba-ND B, decoder of 64", 84.7, "btcv/mamband-b-64.pt"),
)
