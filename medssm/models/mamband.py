"""Mamba-ND: selective state-space modelling for multi-dimensional data.

Li, Singh & Grover, ECCV 2024, arXiv:2402.05892. An unmodified 1-D Mamba mixer runs over a grid of tokens; from block to
block only the order of visiting changes. Weights: huggingface.co/jacklishufan/Mamba-ND (without a licence file).
Images are (B, C, D, H, W), tokens (B, N, d_model) in canonical order, the last axis of the grid fastest.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

import torch
from monai.networks.layers.drop_path import DropPath
from torch import Tensor, nn
from torch.nn import functional

from medssm.errors import UsageError
from medssm.models.info import ModelInfo, Options, PublishedResult, PublishedWeights, StateDict, VolumeInput
from medssm.models.mixer import MambaMixer, ScanOrder
from medssm.models.recompute import Recomputing
from medssm.models.unetr import UNETR

# Section 3.2: each axis is fastest once in three pairs of blocks, each pair a visit and its reverse. The second axis is
# never the slowest.
AXES = ((0, 1, 2), (0, 2, 1), (2, 1, 0))


@dataclass(frozen=True)
class Config:
    """What differs between the variants.

    Attributes:
        d_model: width of the tokens. depth: number of blocks (the paper counts pairs).
        feature_size: channels of the decoder's finest level. finest_stride: its stride.
        window: training crop (D, H, W), for which the position embedding is learned. patch_size: voxels of a token.
        taps: blocks whose outputs go to the decoder, from the finest level to the coarsest; later blocks are not run.
        dropout_rate: of tokens and of mixer outputs, and the largest rate of stochastic depth.
    """

    d_model: int
    feature_size: int
    dropout_rate: float
    depth: int = 24
    window: tuple[int, ...] = (96, 96, 96)
    patch_size: tuple[int, int, int] = (16, 16, 16)
    taps: tuple[int, ...] = (6, 12, 18, 22)
    finest_stride: int = 1


def scan_order(block: int) -> ScanOrder:
    """The order in which a block visits the grid: pairs of forward and reversed, three pairs in turn."""
    return ScanOrder(AXES[block // 2 % len(AXES)], reverse=block % 2 == 1)


class PatchEmbedding(nn.Module):
    """Image (B, C, *size) to tokens (B, N, d_model), one for each patch."""

    def __init__(self, in_channels: int, d_model: int, patch_size: tuple[int, int, int]) -> None:
        super().__init__()
        self.projection = nn.Conv3d(in_channels, d_model, patch_size, stride=patch_size)

    def forward(self, image: Tensor) -> Tensor:
        return self.projection(image).flatten(2).transpose(1, 2)


class Block(nn.Module):
    """Norm and mixer, added to the *normalised* tokens.

    The skip carries norm(x), not x: the original's block hands the output of its norm on as the residual, and weights
    trained so are of no use in a pre-norm block.
    """

    def __init__(self, d_model: int, order: ScanOrder, dropout_rate: float, drop_path_rate: float) -> None:
        super().__init__()
        self.mixer = MambaMixer(d_model, order)
        self.norm = nn.LayerNorm(d_model)
        self.dropout = nn.Dropout(dropout_rate)
        self.drop_path = DropPath(drop_path_rate)

    def forward(self, x: Tensor, shape: tuple[int, ...]) -> Tensor:
        x = self.norm(x)
        return x + self.drop_path(self.dropout(self.mixer(x, shape)))


class MambaND(Recomputing):
    """Encoder: an image to token grids (B, d_model, *grid), one for each of `config.taps`.

    The published depth of 24 ends with a block that nothing reads (the last tap is block 22). Its entries are kept so
    that published files fit; it is never run and asks for no gradient.

    Raises: UsageError on an image whose size is no multiple of the patch.
    """

    def __init__(self, config: Config, in_channels: int, dropout_rate: float, drop_path_rate: float) -> None:
        super().__init__()
        self.patch_size = config.patch_size
        self.grid = tuple(size // patch for size, patch in zip(config.window, config.patch_size, strict=True))
        self.taps = config.taps
        # Starts at zero: the segmentation code of the original never calls the backbone's initialiser.
        self.pos_embed = nn.Parameter(torch.zeros(1, math.prod(self.grid), config.d_model))
        self.patch_embed = PatchEmbedding(in_channels, config.d_model, config.patch_size)
        self.dropout = nn.Dropout(dropout_rate)
        drop_path_rates = [drop_path_rate * block / (config.depth - 1) for block in range(config.depth)]
        self.layers = nn.ModuleList(
            Block(config.d_model, scan_order(block), dropout_rate, rate) for block, rate in enumerate(drop_path_rates)
        )
        self.layers[self.taps[-1] + 1 :].requires_grad_(False)

    def forward(self, image: Tensor) -> list[Tensor]:
        grid = self._grid_of(image)
        x = self.patch_embed(image) + self._positions(grid)
        x = self.dropout(x)
        outputs = []
        for block, layer in enumerate(self.layers[: self.taps[-1] + 1]):
            x = self.run(layer, x, grid)
            if block in self.taps:
                outputs.append(x.transpose(1, 2).contiguous().unflatten(2, grid))
        return outputs

    def _grid_of(self, image: Tensor) -> tuple[int, ...]:
        size = tuple(image.shape[2:])
        padded = tuple(-(-n // patch) * patch for n, patch in zip(size, self.patch_size, strict=True))
        if size != padded:
            raise UsageError(
                f"an input of {_by(size)} voxels does not divide into patches of {_by(self.patch_size)}; "
                f"pad it to {_by(padded)}"
            )
        return tuple(n // patch for n, patch in zip(size, self.patch_size, strict=True))

    def _positions(self, grid: tuple[int, ...]) -> Tensor:
        """The position embedding for a grid; for another than the trained one interpolated, which the paper has not."""
        if grid == self.grid:
            return self.pos_embed
        trained = self.pos_embed.transpose(1, 2).unflatten(2, self.grid)
        return functional.interpolate(trained, grid, mode="trilinear").flatten(2).transpose(1, 2)


def _by(size: tuple[int, ...]) -> str:
    return "x".join(map(str, size))


def build(config: Config, options: Options) -> UNETR:
    """The segmentation network of a variant."""
    if options.input_size is not None:
        config = replace(config, window=options.input_size)
    rate = config.dropout_rate if options.dropout_rate is None else options.dropout_rate
    drop_path_rate = rate if options.drop_path_rate is None else options.drop_path_rate
    return UNETR(
        MambaND(config, options.in_channels, rate, drop_path_rate),
        d_model=config.d_model,
        patch=config.patch_size[0],
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


def from_published(state: Mapping[str, Tensor]) -> StateDict:
    """Published entries as they are, without the unused ones."""
    return {name: tensor for name, tensor in state.items() if name not in UNUSED_ENTRIES}


_SOURCE = "Li, Singh & Grover 2024, arXiv:2402.05892"
_REMARK = (
    "the best checkpoint by one figure on the six validation cases, perhaps of one case with background; not held out"
)
_LICENCE = "none stated by the authors: the repository has no licence file"


def _published(name: str, title: str, config: Config, dice: float, filename: str) -> ModelInfo:
    result = PublishedResult("Dice", dice, "BTCV validation", _SOURCE, _REMARK)
    weights = PublishedWeights(_LICENCE, filename, repository="jacklishufan/Mamba-ND")
    return _info(name, title, config, (1.5, 1.5, 2.0), result, weights)


def _info(
    name: str,
    title: str,
    config: Config,
    spacing: tuple[float, float, float],
    result: PublishedResult | None = None,
    weights: PublishedWeights | None = None,
) -> ModelInfo:
    return ModelInfo(
        name=name,
        title=title,
        system="Mamba-ND",
        task="segmentation",
        input_size=config.window,
        patch_size=config.patch_size,
        input=VolumeInput(spacing),
        in_channels=1,
        num_classes=14,
        is_ours=weights is None,
        result=result,
        weights=weights,
        stem_entry="vit.patch_embed.projection.weight",
        head_entry="out.conv.bias" if config.finest_stride > 1 else "out.conv.conv.bias",
        build=partial(build, config),
        from_published=from_published,
    )


# Made to learn in minutes on two CPU cores. Measured on synthetic abdomens at 3 mm, crops of 48^3 in batches of two,
# mean Dice over 13 organs on unseen cases after about 300 steps or, where said, five minutes:
# - The published form scaled down (f = 8, decoder to full resolution) reaches 0.24; with f = 16, 0.57. Full-resolution
#   convolutions are where the time goes, and narrow ones are a bottleneck: classes appear one by one.
# - So the finest level has stride 2 and f = 32, and one transposed convolution leads from there to the classes: 0.72,
#   and 0.84 after five minutes. Without the Mamba blocks it is 0.64: they are cheap and worth 0.08.
# - A stem of overlapping convolutions in place of the patch embedding is worth 0.01 and is left out.
# - A plain residual U-Net of the same cost reaches 0.83 in the same time: no claim of being better follows.
# Six blocks visit the grid in each of the six orders once.
_XS = Config(
    d_model=96,
    feature_size=32,
    dropout_rate=0.0,
    depth=6,
    window=(48, 48, 48),
    patch_size=(8, 8, 8),
    taps=(2, 5),
    finest_stride=2,
)
_S = Config(d_model=384, feature_size=32, dropout_rate=0.1)
_S_PLUS = Config(d_model=512, feature_size=32, dropout_rate=0.4)
_B_32 = Config(d_model=768, feature_size=32, dropout_rate=0.2)
_B_64 = Config(d_model=768, feature_size=64, dropout_rate=0.25)

MODELS = (
    _info("mamband-xs", "Mamba-ND XS, ours, learns in minutes on a CPU", _XS, (3.0, 3.0, 3.0)),
    _published("mamband-s", "Mamba-ND S", _S, 83.1, "btcv/mamband-s.pt"),
    _published("mamband-s-plus", "Mamba-ND S+", _S_PLUS, 83.9, "btcv/mamband-s_plus.pt"),
    _published("mamband-b-32", "Mamba-ND B, decoder of 32", _B_32, 82.7, "btcv/mamband-b-32.pt"),
    _published("mamband-b-64", "Mamba-ND B, decoder of 64", _B_64, 84.7, "btcv/mamband-b-64.pt"),
)
