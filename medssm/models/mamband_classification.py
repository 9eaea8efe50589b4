"""Mamba-ND for images and clips: the encoder of mamband.py under the published classifiers' heads.

Li, Singh & Grover, ECCV 2024, arXiv:2402.05892. Weights: huggingface.co/jacklishufan/Mamba-ND (without a licence file).
Images are (B, C, H, W), clips (B, C, T, H, W).
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from math import isqrt

from torch import Tensor, nn

from medssm.errors import CheckpointError
from medssm.models.info import Options
from medssm.models.layers import class_layer
from medssm.models.mamband import EncoderConfig, MambaND, resized_positions
from medssm.models.recompute import Recomputing
from medssm.models.variant import StateDict, Variant


@dataclass(frozen=True)
class ClassifierConfig:
    """What differs between the variants.

    Attributes:
        drop_path_rate: the largest rate of stochastic depth. head_dropout_rate: of the pooled tokens of a clip.
    """

    encoder: EncoderConfig
    drop_path_rate: float
    head_dropout_rate: float = 0.0


class TokenClassifier(Recomputing, ABC):
    """An encoder whose final tokens are pooled to logits (B, num_classes); the head is the subclass's.

    Args:
        options: `features_only` leaves the head out and gives the encoder's maps, (B, d_model, *grid).

    Attributes:
        channels, strides: of the maps, from the finest to the coarsest; strides are those of height and width.
    """

    def __init__(self, config: ClassifierConfig, options: Options) -> None:
        super().__init__()
        encoder = replace(config.encoder, input_size=options.input_size or config.encoder.input_size)
        if options.dropout_rate is not None:
            encoder = replace(encoder, dropout_rate=options.dropout_rate)
        rate = config.drop_path_rate if options.drop_path_rate is None else options.drop_path_rate
        self.backbone = MambaND(encoder, options.in_channels, rate)
        self.channels = (encoder.d_model,) * len(encoder.taps)
        self.strides = tuple(encoder.patch_size[-1] << level for level in range(len(encoder.taps)))
        self.features_only = options.features_only

    def forward(self, image: Tensor) -> Tensor | list[Tensor]:
        """Logits (B, num_classes), or the maps (B, d_model, *grid) with `features_only`."""
        maps = self.forward_features(image)
        return maps if self.features_only else self.classify(maps[-1].flatten(2).transpose(1, 2))

    def forward_features(self, image: Tensor) -> list[Tensor]:
        """The maps (B, d_model, *grid) at `strides`."""
        return self.backbone(image)

    @abstractmethod
    def classify(self, x: Tensor) -> Tensor:
        """Logits from the final tokens (B, N, d_model)."""


class ImageClassifier(TokenClassifier):
    """Norm, mean over the tokens and another norm, both with eps 1e-6; the norms count as the backbone's."""

    def __init__(self, config: ClassifierConfig, options: Options) -> None:
        super().__init__(config, options)
        if options.features_only:
            return
        d_model = config.encoder.d_model
        self.backbone.add_module("ln1", nn.LayerNorm(d_model, eps=1e-6))
        self.backbone.add_module("ln2", nn.LayerNorm(d_model, eps=1e-6))
        layer = class_layer(d_model, options.num_classes)
        if isinstance(layer, nn.Linear):
            nn.init.trunc_normal_(layer.weight, std=2e-5)
            nn.init.zeros_(layer.bias)
        self.head = nn.ModuleDict({"fc": layer})

    def classify(self, x: Tensor) -> Tensor:
        """Logits (B, num_classes) from the final tokens (B, N, d_model)."""
        ln1, ln2 = self.backbone.get_submodule("ln1"), self.backbone.get_submodule("ln2")
        return self.head["fc"](ln2(ln1(x).mean(1)))


class ClipClassifier(TokenClassifier):
    """Mean over all positions, dropout and a linear layer, without a norm."""

    def __init__(self, config: ClassifierConfig, options: Options) -> None:
        super().__init__(config, options)
        if options.features_only:
            return
        rate = config.head_dropout_rate if options.dropout_rate is None else options.dropout_rate
        self.dropout = nn.Dropout(rate)
        layer = class_layer(config.encoder.d_model, options.num_classes)
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)
        self.cls_head = nn.ModuleDict({"fc_cls": layer})

    def classify(self, x: Tensor) -> Tensor:
        """Logits (B, num_classes) from the final tokens (B, N, d_model)."""
        return self.cls_head["fc_cls"](self.dropout(x.mean(1)))


class KineticsClassifier(TokenClassifier):
    """Mean over all positions, norm and a linear layer."""

    def __init__(self, config: ClassifierConfig, options: Options) -> None:
        super().__init__(config, options)
        if options.features_only:
            return
        layer = class_layer(config.encoder.d_model, options.num_classes)
        if isinstance(layer, nn.Linear):
            nn.init.trunc_normal_(layer.weight, std=0.02)
            nn.init.zeros_(layer.bias)
        self.head = nn.Sequential(nn.LayerNorm(config.encoder.d_model), layer)

    def classify(self, x: Tensor) -> Tensor:
        """Logits (B, num_classes) from the final tokens (B, N, d_model)."""
        return self.head(x.mean(1))


def without_class_position(config: EncoderConfig, state: Mapping[str, Tensor]) -> StateDict:
    """Published state dict, the positions without the token of a class and resized to the published grid.

    As the original's loader does: bicubic, from a square grid.
    """
    name = "backbone.pos_embed"
    kept = dict(state)
    positions = kept.get(name)
    if positions is None or positions.ndim != 3:
        return kept
    side = isqrt(positions.shape[1])
    if positions.shape[1] == side * side + 1:
        positions = positions[:, 1:]
    if positions.shape[1] == side * side:
        positions = resized_positions(positions, (side, side), config.grid)
    return {**kept, name: positions}


def with_backbone_prefix(state: Mapping[str, Tensor]) -> StateDict:
    """Published state dict, whose encoder has no prefix."""
    return {name if name.startswith(("head.", "backbone.")) else f"backbone.{name}": t for name, t in state.items()}


def inflate(config: EncoderConfig, state: Mapping[str, Tensor]) -> StateDict:
    """Entries of a clip's encoder from those of an image's: patches of 16, no merging, positions of one frame.

    Six blocks of the clip's encoder have two pairs that scan within frames; those take the image's blocks in turn. The
    third pair scans along time: its entries, and the head, are not among those given.

    Raises: CheckpointError if the state dict is of another network.
    Source: the released code's initialisation; the paper's table calls it training from scratch.
    """
    state = {name.removeprefix("backbone."): tensor for name, tensor in state.items()}
    frames, *grid = config.grid
    positions, patches = state.get("pos_embed"), state.get("patch_embed.projection.weight")
    expected = (1, grid[0] * grid[1], config.d_model)
    time, *sides = config.patch_size
    if positions is None or patches is None or positions.shape != expected or list(patches.shape[2:]) != sides:
        raise CheckpointError(
            f"inflation takes a Mamba-ND image network with patches of {sides[0]}x{sides[1]} and positions {expected}; "
            f"found {_shape(patches)} and {_shape(positions)}"
        )
    inflated = {
        "backbone.pos_embed": positions.repeat(1, frames, 1),
        "backbone.patch_embed.projection.weight": patches[:, :, None].repeat(1, 1, time, 1, 1) / time,
        "backbone.patch_embed.projection.bias": state["patch_embed.projection.bias"],
    }
    for name, tensor in state.items():
        if name.startswith("layers.") and "down_sample_layer" not in name:
            _, block, entry = name.split(".", 2)
            inflated[f"backbone.layers.{6 * (int(block) // 4) + int(block) % 4}.{entry}"] = tensor
    return inflated


def _shape(tensor: Tensor | None) -> str:
    return "none" if tensor is None else f"a shape of {tuple(tensor.shape)}"


def _image(config: EncoderConfig) -> Variant:
    build = partial(ImageClassifier, ClassifierConfig(config, drop_path_rate=0.1))
    return Variant(build, partial(without_class_position, config))


def _clip(config: ClassifierConfig) -> Variant:
    return Variant(partial(ClipClassifier, config), inflate=partial(inflate, config.encoder))


def _kinetics(config: ClassifierConfig) -> Variant:
    return Variant(partial(KineticsClassifier, config), with_backbone_prefix, partial(inflate, config.encoder))


# Sections 3.2 and 4 of the paper. Blocks build a dropout that they never call.
_S8 = EncoderConfig(
    d_model=384,
    depth=24,
    input_size=(224, 224),
    patch_size=(8, 8),
    taps=(9, 23),
    dropout_rate=0.1,
    block_dropout_rate=0.0,
    merging=9,
    pads=True,
    position_std=0.02,
)
_B8 = replace(_S8, d_model=768)
# A published file without a configuration: what the video models start from, and no more is known of it than that.
_S16 = replace(_S8, patch_size=(16, 16), taps=(23,), merging=None)
_VIDEO = EncoderConfig(
    d_model=384,
    depth=36,
    input_size=(32, 224, 224),
    patch_size=(2, 16, 16),
    taps=(35,),
    dropout_rate=0.1,
    position_std=0.02,
)
_UCF101 = ClassifierConfig(_VIDEO, drop_path_rate=0.1, head_dropout_rate=0.5)
_HMDB51 = ClassifierConfig(_VIDEO, drop_path_rate=0.1, head_dropout_rate=0.4)
_K400 = ClassifierConfig(
    replace(_VIDEO, input_size=(16, 224, 224), patch_size=(1, 16, 16), dropout_rate=0.0), drop_path_rate=0.35
)
# Ours, for two cores and the synthetic motions: two blocks of each six scan along time.
_XS = ClassifierConfig(
    EncoderConfig(d_model=64, depth=6, input_size=(16, 32, 32), patch_size=(2, 8, 8), taps=(5,), position_std=0.02),
    drop_path_rate=0.0,
)

VARIANTS = {
    "mamband2d-s": _image(_S8),
    "mamband2d-b": _image(_B8),
    "mamband2d-s-16": _image(_S16),
    "mamband-video-ucf101": _clip(_UCF101),
    "mamband-video-hmdb51": _clip(_HMDB51),
    "mamband-video-k400": _kinetics(_K400),
    "mamband-video-xs": _clip(_XS),
}
