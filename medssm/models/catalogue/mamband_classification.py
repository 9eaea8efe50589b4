"""What was published of Mamba-ND for images and clips, and our own small one: Li, Singh & Grover, ECCV 2024.

arXiv:2402.05892. Weights: huggingface.co/jacklishufan/Mamba-ND (without a licence file).
"""

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from medssm.models.info import ClipInput, ImageInput, ModelInfo, PublishedResult, PublishedWeights

if TYPE_CHECKING:
    from medssm.models.variant import Variant

_SOURCE = "Li, Singh & Grover 2024, arXiv:2402.05892"
_LICENCE = "none stated by the authors: the repository has no licence file"
_HUB = "jacklishufan/Mamba-ND"


def _variant(name: str) -> "Variant":
    from medssm.models.mamband_classification import VARIANTS

    return VARIANTS[name]


class _Size(NamedTuple):
    """Of a clip and of its patches, (T, H, W) each."""

    input: tuple[int, int, int]
    patch: tuple[int, int, int]


def _image(name: str, title: str, filename: str, top_1: float | None) -> ModelInfo:
    return ModelInfo(
        name=name,
        title=title,
        system="Mamba-ND",
        task="classification",
        input_size=(224, 224),
        patch_size=(1, 1),
        input=ImageInput(),
        in_channels=3,
        num_classes=1000,
        stem_entry="backbone.patch_embed.projection.weight",
        head_entry="head.fc.bias",
        variant=partial(_variant, name),
        result=None if top_1 is None else PublishedResult("top-1", top_1, "ImageNet-1k validation", _SOURCE),
        weights=PublishedWeights(_LICENCE, filename, repository=_HUB),
    )


def _clip(
    name: str,
    title: str,
    size: _Size,
    classes: int,
    clip: ClipInput,
    weights: PublishedWeights | None = None,
) -> ModelInfo:
    return ModelInfo(
        name=name,
        title=title,
        system="Mamba-ND",
        task="video",
        input_size=size.input,
        patch_size=size.patch,
        input=clip,
        in_channels=3,
        num_classes=classes,
        stem_entry="backbone.patch_embed.projection.weight",
        head_entry="head.1.bias" if name.endswith("k400") else "cls_head.fc_cls.bias",
        variant=partial(_variant, name),
        is_ours=weights is None,
        result=_VIDEO_RESULTS.get(name),
        weights=weights,
    )


_TEST_SPLIT = "video, split 1; the official table says from scratch, the released code starts from ImageNet"
_VIDEO_RESULTS = {
    "mamband-video-ucf101": PublishedResult("top-1", 89.6, "UCF-101", _SOURCE, _TEST_SPLIT),
    "mamband-video-hmdb51": PublishedResult("top-1", 60.9, "HMDB-51", _SOURCE, _TEST_SPLIT),
    "mamband-video-k400": PublishedResult("top-1", 81.9, "Kinetics-400", _SOURCE, "12 views a video"),
}
_UCF101_FILE = PublishedWeights(_LICENCE, "video/ucf101/ucf101.pth", repository=_HUB)
_HMDB51_FILE = PublishedWeights(_LICENCE, "video/hmdb51/hmdb51.pth", repository=_HUB)
_K400_FILE = PublishedWeights(_LICENCE, "", page=f"huggingface.co/{_HUB}/tree/main/k400")
_GREY = ClipInput(mean=(0.45, 0.45, 0.45), std=(0.225, 0.225, 0.225))
_SEGMENTS = ClipInput(sampling="segments", views=4, crops=3, short_side=224)
_SMALL = ClipInput(frame_stride=2, short_side=36)
_32_FRAMES = _Size((32, 224, 224), (2, 16, 16))
_16_FRAMES = _Size((16, 224, 224), (1, 16, 16))
_XS = _Size((16, 32, 32), (2, 8, 8))

# The published heads of UCF-101 and HMDB-51 have more outputs than the data sets have classes; the others never occur.
MODELS = (
    _image("mamband2d-s", "Mamba-ND 2-D S, patches of 8", "in1k/mamba2d_s.pth", 81.7),
    _image("mamband2d-b", "Mamba-ND 2-D B, patches of 8", "in1k/mamba2d_b.pth", 83.0),
    _image("mamband2d-s-16", "Mamba-ND 2-D S, patches of 16", "video/mamba_2d_s_16_pretrained.pth", None),
    _clip("mamband-video-ucf101", "Mamba-ND video, UCF-101", _32_FRAMES, 400, ClipInput(), _UCF101_FILE),
    _clip("mamband-video-hmdb51", "Mamba-ND video, HMDB-51", _32_FRAMES, 60, _GREY, _HMDB51_FILE),
    _clip("mamband-video-k400", "Mamba-ND video, Kinetics-400", _16_FRAMES, 400, _SEGMENTS, _K400_FILE),
    _clip("mamband-video-xs", "Mamba-ND video XS, ours, learns in minutes on a CPU", _XS, 8, _SMALL),
)
