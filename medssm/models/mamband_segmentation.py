"""Mamba-ND for volumes: the encoder of mamband.py under a UNETR decoder, and our own small one for laptops.

Li, Singh & Grover, ECCV 2024, arXiv:2402.05892. Weights: huggingface.co/jacklishufan/Mamba-ND (without a licence file).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

from torch import Tensor

from medssm.models.arguments import patch_sides
from medssm.models.info import Options
from medssm.models.mamband import EncoderConfig, MambaND
from medssm.models.unetr import UNETR, halvings
from medssm.models.variant import StateDict, Variant


@dataclass(frozen=True)
class SegmentationConfig:
    """What differs between the variants.

    Attributes:
        feature_size: channels of the decoder's finest level. finest_stride: its stride.
        dropout_rate: of tokens and of mixer outputs, and the largest rate of stochastic depth.
    """

    encoder: EncoderConfig
    feature_size: int
    dropout_rate: float
    finest_stride: int = 1


def build(config: SegmentationConfig, options: Options) -> UNETR:
    """The segmentation network of a variant.

    Where the argument patch_size makes the patch smaller, the pyramid has fewer levels, for the later of the taps.
    """
    patch = options.arguments.get("patch_size", config.encoder.patch_size)
    levels = len(halvings(patch, config.finest_stride)[1])
    rate = config.dropout_rate if options.dropout_rate is None else options.dropout_rate
    drop_path_rate = rate if options.drop_path_rate is None else options.drop_path_rate
    encoder = replace(
        config.encoder,
        input_size=options.input_size or config.encoder.input_size,
        patch_size=patch,
        taps=config.encoder.taps[-levels:],
        dropout_rate=rate,
    )
    return UNETR(
        MambaND(encoder, options.in_channels, drop_path_rate),
        d_model=encoder.d_model,
        patch=encoder.patch_size,
        in_channels=options.in_channels,
        num_classes=options.num_classes,
        feature_size=config.feature_size,
        finest_stride=config.finest_stride,
        features_only=options.features_only,
    )


# Up to MONAI 0.8 a residual block that keeps its number of channels stored a third convolution that it never used.
UNUSED_ENTRIES = tuple(
    f"{block}.1.conv3.conv.weight" for block in ("encoder2.blocks.0", "encoder2.blocks.1", "encoder3.blocks.0")
)


def without_unused_entries(state: Mapping[str, Tensor]) -> StateDict:
    """Published state dict as it is, without the unused entries."""
    return {name: tensor for name, tensor in state.items() if name not in UNUSED_ENTRIES}


# Made to learn in minutes on two CPU cores. Measured on synthetic abdomens at 3 mm, crops of 48^3 in batches of two,
# mean Dice over 13 organs on unseen cases after about 300 steps or, where said, five minutes:
# - The published form scaled down (f = 8, decoder to full resolution) reaches 0.24; with f = 16, 0.57. Full-resolution
#   convolutions are where the time goes, and narrow ones are a bottleneck: classes appear one by one.
# - So the finest level has stride 2 and f = 32, and one transposed convolution leads from there to the classes: 0.72,
#   and 0.84 after five minutes. Without the Mamba blocks it is 0.64: they are cheap and worth 0.08.
# - A stem of overlapping convolutions in place of the patch embedding is worth 0.01 and is left out.
# - A plain residual U-Net of the same cost reaches 0.83 in the same time: no claim of being better follows.
# Six blocks visit the grid in each of the six orders once.
_XS = SegmentationConfig(
    EncoderConfig(d_model=96, depth=6, input_size=(48, 48, 48), patch_size=(8, 8, 8), taps=(2, 5)),
    feature_size=32,
    dropout_rate=0.0,
    finest_stride=2,
)
# The published depth of 24 ends with a block that nothing reads: the last tap is block 22.
_PUBLISHED = EncoderConfig(
    d_model=384, depth=24, input_size=(96, 96, 96), patch_size=(16, 16, 16), taps=(6, 12, 18, 22)
)
_S = SegmentationConfig(_PUBLISHED, feature_size=32, dropout_rate=0.1)
_S_PLUS = SegmentationConfig(replace(_PUBLISHED, d_model=512), feature_size=32, dropout_rate=0.4)
_B_32 = SegmentationConfig(replace(_PUBLISHED, d_model=768), feature_size=32, dropout_rate=0.2)
_B_64 = SegmentationConfig(replace(_PUBLISHED, d_model=768), feature_size=64, dropout_rate=0.25)


def _variant(config: SegmentationConfig) -> Variant:
    least, most = 2 * config.finest_stride, max(config.encoder.patch_size)
    patch_size = partial(patch_sides, least=least, most=most)
    return Variant(partial(build, config), without_unused_entries, arguments={"patch_size": patch_size})


VARIANTS = {
    name: _variant(config)
    for name, config in {
        "mamband-xs": _XS,
        "mamband-s": _S,
        "mamband-s-plus": _S_PLUS,
        "mamband-b-32": _B_32,
        "mamband-b-64": _B_64,
    }.items()
}
