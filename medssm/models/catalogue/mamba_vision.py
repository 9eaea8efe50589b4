"""What was published of MambaVision: Hatamizadeh & Kautz, CVPR 2025, arXiv:2407.08083.

Weights: huggingface.co/nvidia (CC-BY-NC-SA-4.0, not for commercial use).
"""

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from medssm.models.info import (
    SEMANTIC_INPUT,
    ImageInput,
    ModelInfo,
    PublishedCost,
    PublishedDense,
    PublishedResult,
    PublishedWeights,
    SemanticInput,
    published_detector,
    published_segmenter,
)

if TYPE_CHECKING:
    from medssm.models.variant import Variant

_PAPER = "Hatamizadeh & Kautz 2024, arXiv:2407.08083"
_TABLE = "the authors' table at github.com/NVlabs/MambaVision, for arXiv:2407.08083"
_COUNT = (
    "by ptflops, without the scan and the products of attention; some of the table are cut where others are rounded"
)
_WHOLE = ImageInput(crop_pct=1.0)
_SQUASHED = ImageInput(crop_pct=0.93, crop_mode="squash")


def _variant(name: str) -> "Variant":
    from medssm.models.mamba_vision import VARIANTS

    return VARIANTS[name]


def _info(
    size: str,
    top1: float,
    cost: tuple[float, float],
    file: str,
    image: ImageInput = _WHOLE,
    image_size: int = 224,
) -> ModelInfo:
    """The entry of a variant.

    Args:
        size: the end of its name on Hugging Face. Those from ImageNet-21K are in no paper.
        top1: accuracy in percent. cost: parameters in millions and multiply-adds in 10^9.
        file: name of the weights. image_size: side in pixels.
    """
    from_21k = size.endswith("-21K")
    source = _TABLE if from_21k else _PAPER
    title = f"MambaVision-{size}"
    hub_name = title if from_21k else f"{title}-1K"
    package_name = f"mamba_vision_{size.replace('-21K', '_21k').replace('-', '_')}"
    name = f"mambavision-{size.lower()}"
    return ModelInfo(
        name=name,
        title=title,
        system="MambaVision",
        task="classification",
        input_size=(image_size, image_size),
        patch_size=(1, 1),
        input=image,
        in_channels=3,
        num_classes=1000,
        stem_entry="patch_embed.conv_down.0.weight",
        head_entry="head.bias",
        variant=partial(_variant, name),
        result=PublishedResult("top-1", top1, "ImageNet-1k validation", source),
        cost=PublishedCost(*cost, source, remark=_COUNT),
        weights=PublishedWeights("CC-BY-NC-SA-4.0", f"{file}.pth.tar", repository=f"nvidia/{hub_name}"),
        aliases=(package_name, title) if from_21k else (package_name, title, hub_name),
    )


# The configurations of the downstream code name other rates of stochastic depth, but never hand them on: all have 0.2.
_DENSE_TABLE = "the authors' tables at github.com/NVlabs/MambaVision, for arXiv:2407.08083"
_DENSE_LICENCE = "CC-BY-NC-SA-4.0"


# Windows of 10 and 5 cells, of which maps of 800x1280 are whole ones.
_UNPADDED = 160


def _cascade(
    size: str, ap: tuple[float, float], cost: tuple[float, float], difference: str, remark: str = ""
) -> PublishedDense:
    """A detector; `cost` in millions of parameters and 10^9 multiply-adds, `difference` of ours to these."""
    file = f"cascade_mask_rcnn_mamba_vision_{size}_3x_coco"
    weights = PublishedWeights(_DENSE_LICENCE, f"{file}.pth", repository=f"nvidia/{file}")
    published = PublishedCost(*cost, _DENSE_TABLE, remark=difference)
    detector = published_detector("cascade-mask-rcnn", "3x", ap, published, weights, remark)
    return replace(detector, cost_layout=_UNPADDED)


def _upernet(
    end: str, miou: float, cost: tuple[float, float], difference: str = "", image: SemanticInput = SEMANTIC_INPUT
) -> PublishedDense:
    file = f"mamba_vision_160k_ade20k-{end}"
    weights = PublishedWeights(_DENSE_LICENCE, f"{file}.pth", repository=f"nvidia/{file}")
    published = PublishedCost(*cost, _DENSE_TABLE, remark=difference)
    return published_segmenter((miou,), published, weights, image)


# What the authors counted is not said. Parameters follow from the published entries of the backbones, and from heads
# that meet the figures of other systems to the number.
_PARAMETERS = "the parameters stated are of no network of this backbone and head"
_T_DENSE = (
    _cascade(
        "tiny",
        (51.1, 44.3),
        (86, 740),
        f"counted without the padding of windows, with it 856 and 428 more for attention; {_PARAMETERS}",
        "the published log says 51.2 and 44.4",
    ),
    replace(
        _upernet(
            "512x512_tiny",
            46.0,
            (55, 945),
            f"counted without the padding of windows, with it 993 and 91 more for attention; {_PARAMETERS}",
        ),
        cost_layout=512,
    ),
)
# The authors' table gives the address of T's detector for S's file.
_S_DENSE = (
    _cascade(
        "small",
        (52.3, 45.2),
        (108, 828),
        "counted without the padding of windows, 3 % less; with the classifier's windows it is 816, with the published "
        "ones 966 and 393 more for attention",
    ),
    _upernet(
        "512x512_small",
        48.2,
        (84, 1135),
        "counted with the published windows of 160 and 56, and 1570 more for attention; 1002 without padding, and 1081 "
        f"with the windows of T and B: none of these is the figure stated; {_PARAMETERS}",
    ),
)
_B_DENSE = (
    _cascade(
        "base",
        (52.8, 45.7),
        (145, 964),
        f"counted without the padding of windows, with it 1324 and 846 more for attention; {_PARAMETERS}",
    ),
    _upernet("512x512_base", 49.1, (126, 1342), f"counted with the published windows; {_PARAMETERS}"),
)
_L3_DENSE = (
    replace(
        _upernet(
            "640x640_l3_21k",
            53.2,
            (780, 3670),
            "counted with the published windows, and 365 more for attention; 1100 without padding, and 6442 at "
            "640x2560: none of these is the figure stated",
            SemanticInput(short_side=640, long_side=2560),
        ),
        cost_size=(640, 640),
    ),
)

MODELS = (
    replace(_info("T", 82.3, (31.8, 4.4), "mambavision_tiny_1k"), dense=_T_DENSE),
    _info("T2", 82.7, (35.1, 5.1), "mambavision_tiny2_1k", ImageInput(crop_pct=0.98)),
    replace(
        _info("S", 83.3, (50.1, 7.5), "mambavision_small_1k", ImageInput(crop_pct=0.93)),
        dense=_S_DENSE,
    ),
    replace(_info("B", 84.2, (97.7, 15.0), "mambavision_base_1k"), dense=_B_DENSE),
    _info("L", 85.0, (227.9, 34.9), "mambavision_large_1k"),
    _info("L2", 85.3, (241.5, 37.5), "mambavision_large2_1k"),
    _info("B-21K", 84.9, (97.7, 15.0), "mambavision_base_21k"),
    _info("L-21K", 86.1, (227.9, 34.9), "mambavision_large_21k"),
    _info("L2-512-21K", 87.3, (241.5, 196.3), "mambavision_L2_21k_240m_512", _SQUASHED, 512),
    _info("L3-256-21K", 87.3, (739.6, 122.3), "mambavision_L3_21k_740m_256", image_size=256),
    replace(
        _info("L3-512-21K", 88.1, (739.6, 489.1), "mambavision_L3_21k_740m_512", _SQUASHED, 512),
        dense=_L3_DENSE,
    ),
)
