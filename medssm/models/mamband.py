"""Mamba-ND: selective state-space modelling for multi-dimensional data.

Li, Singh & Grover, ECCV 2024, arXiv:2402.05892. An unmodified 1-D Mamba mixer runs over a grid of tokens; from block to
block only the order of visiting changes. One encoder for images (B, C, H, W), volumes (B, C, D, H, W) and clips
(B, C, T, H, W); tokens are (B, N, d_model) in canonical order, the last axis of the grid fastest.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from medssm.errors import UsageError
from medssm.models.layers import DropPath, check_input
from medssm.models.mixer import MambaMixer, ScanOrder
from medssm.models.recompute import Recomputing

# Section 3.2, by the number of axes of the grid. Blocks come in pairs, a visit and its reverse. In three dimensions
# each axis is fastest once in three pairs, and the second is never the slowest.
AXES = {2: ((0, 1), (1, 0)), 3: ((0, 1, 2), (0, 2, 1), (2, 1, 0))}
# How positions are resized; the original does it for images only.
RESIZING = {2: "bicubic", 3: "trilinear"}


@dataclass(frozen=True)
class EncoderConfig:
    """An encoder.

    Attributes:
        d_model: width of the tokens. depth: number of blocks (the paper counts pairs).
        input_size: of the image, volume or clip for which the position embedding is learned.
        patch_size: voxels or pixels of a token.
        taps: blocks whose outputs are handed out; later blocks are not run.
        dropout_rate: of tokens. block_dropout_rate: of mixer outputs; None for the same.
        merging: the block after which groups of 2x2 tokens become one; None for none.
        pads: an input that does not divide into patches is padded with zeros at the end of each axis.
        position_std: of the position embedding at the start. The segmentation code of the original never calls the
            backbone's initialiser, so there it is 0.
    """

    d_model: int
    depth: int
    input_size: tuple[int, ...]
    patch_size: tuple[int, ...]
    taps: tuple[int, ...]
    dropout_rate: float = 0.0
    block_dropout_rate: float | None = None
    merging: int | None = None
    pads: bool = False
    position_std: float = 0.0

    @property
    def grid(self) -> tuple[int, ...]:
        """Of the tokens of an input of `input_size`, padded."""
        return tuple(-(-size // patch) for size, patch in zip(self.input_size, self.patch_size, strict=True))


def scan_order(block: int, dimensions: int = 3) -> ScanOrder:
    """The order in which a block visits the grid: pairs of forward and reversed, one pair of each order in turn."""
    axes = AXES[dimensions]
    return ScanOrder(axes[block // 2 % len(axes)], reverse=block % 2 == 1)


class PatchEmbedding(nn.Module):
    """Image (B, C, *size) to tokens (B, N, d_model), one for each patch."""

    def __init__(self, in_channels: int, d_model: int, patch_size: tuple[int, ...]) -> None:
        super().__init__()
        convolution: Any = {2: nn.Conv2d, 3: nn.Conv3d}[len(patch_size)]
        self.projection = convolution(in_channels, d_model, patch_size, stride=patch_size)

    def forward(self, image: Tensor) -> Tensor:
        """Tokens (B, N, d_model) of an image (B, C, *size)."""
        return self.projection(image).flatten(2).transpose(1, 2)


class PatchMerging(nn.Module):
    """Tokens of a 2-D grid to those of one half as fine, each from 2x2 neighbours; odd grids are padded with zeros.

    The 4 d_model values are ordered by channel first, then by neighbour.
    """

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.reduction = nn.Linear(4 * d_model, d_model, bias=False)
        self.norm = nn.LayerNorm(4 * d_model)

    def forward(self, x: Tensor, grid: tuple[int, ...]) -> Tensor:
        """Tokens (B, N, d_model) of a grid (H, W) to those of a grid of half its sides, rounded up."""
        height, width = grid
        x = functional.pad(x.unflatten(1, grid), (0, 0, 0, width % 2, 0, height % 2))
        x = x.unflatten(1, (-1, 2)).unflatten(3, (-1, 2))  # (B, H/2, 2, W/2, 2, d_model)
        x = x.permute(0, 1, 3, 5, 2, 4).flatten(3).flatten(1, 2)  # (B, N/4, 4 d_model)
        return self.reduction(self.norm(x))


class MambaNDBlock(nn.Module):
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
        """Tokens (B, N, d_model) of a grid of `shape` to as many, (B, N, d_model)."""
        x = self.norm(x)
        return x + self.drop_path(self.dropout(self.mixer(x, shape)))


class MambaND(Recomputing):
    """Encoder: an image to token grids (B, d_model, *grid), one for each of `config.taps`.

    Blocks after the last tap are kept so that published files fit; they are never run and ask for no gradient.

    Raises: UsageError on an image whose size is no multiple of the patch, where it is not padded.
    """

    def __init__(self, config: EncoderConfig, in_channels: int, drop_path_rate: float) -> None:
        super().__init__()
        self.config = config
        self.pos_embed = nn.Parameter(torch.zeros(1, math.prod(config.grid), config.d_model))
        if config.position_std:
            nn.init.trunc_normal_(self.pos_embed, std=config.position_std)
        self.patch_embed = PatchEmbedding(in_channels, config.d_model, config.patch_size)
        self.dropout = nn.Dropout(config.dropout_rate)
        self.layers = nn.ModuleList(_block(config, block, drop_path_rate) for block in range(config.depth))
        if config.merging is not None:
            self.layers[config.merging].add_module("down_sample_layer", PatchMerging(config.d_model))
        self.layers[config.taps[-1] + 1 :].requires_grad_(False)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Token grids (B, d_model, *grid), one for each tap, of an image (B, C, *size)."""
        check_input(image, self.patch_embed.projection)
        image = self._divisible(image)
        grid = tuple(n // patch for n, patch in zip(image.shape[2:], self.config.patch_size, strict=True))
        x = self.patch_embed(image) + self._positions(grid)
        x = self.dropout(x)
        outputs = []
        for block, layer in enumerate(self.layers[: self.config.taps[-1] + 1]):
            x = self.run(layer, x, grid)
            if block in self.config.taps:
                outputs.append(x.transpose(1, 2).contiguous().unflatten(2, grid))
            if block == self.config.merging:
                x = layer.get_submodule("down_sample_layer")(x, grid)
                grid = tuple(-(-n // 2) for n in grid)
        return outputs

    def _divisible(self, image: Tensor) -> Tensor:
        patches = self.config.patch_size
        size = tuple(image.shape[2:])
        padded = tuple(-(-n // patch) * patch for n, patch in zip(size, patches, strict=True))
        if size == padded:
            return image
        if not self.config.pads:
            raise UsageError(
                f"an input of {_by(size)} voxels does not divide into patches of {_by(patches)}; "
                f"pad it to {_by(padded)}"
            )
        missing = [(0, to - n) for n, to in zip(size, padded, strict=True)]
        return functional.pad(image, [n for pair in reversed(missing) for n in pair])

    def _positions(self, grid: tuple[int, ...]) -> Tensor:
        """The position embedding for a grid; for volumes and clips of another size an extension of the paper."""
        return resized_positions(self.pos_embed, self.config.grid, grid)

    def _load_from_state_dict(self, state: Mapping[str, Tensor], prefix: str, *arguments: Any) -> None:
        """Positions that were learned for another square or cubic grid are resized to this one's."""
        name = f"{prefix}pos_embed"
        stored = state.get(name)
        if stored is not None and stored.shape[1] != self.pos_embed.shape[1]:
            side = round(stored.shape[1] ** (1 / len(self.config.grid)))
            if side ** len(self.config.grid) == stored.shape[1]:
                learned = (side,) * len(self.config.grid)
                state = {**state, name: resized_positions(stored, learned, self.config.grid)}
        super()._load_from_state_dict(state, prefix, *arguments)


def resized_positions(positions: Tensor, learned: tuple[int, ...], grid: tuple[int, ...]) -> Tensor:
    """Position embedding (1, N, d_model) of the grid `learned`, interpolated to another grid in float32."""
    if grid == learned:
        return positions
    maps = positions.float().transpose(1, 2).unflatten(2, learned)
    return functional.interpolate(maps, grid, mode=RESIZING[len(grid)]).flatten(2).transpose(1, 2)


def _block(config: EncoderConfig, block: int, drop_path_rate: float) -> MambaNDBlock:
    dropout_rate = config.dropout_rate if config.block_dropout_rate is None else config.block_dropout_rate
    order = scan_order(block, len(config.patch_size))
    return MambaNDBlock(config.d_model, order, dropout_rate, drop_path_rate * block / (config.depth - 1))


def _by(size: tuple[int, ...]) -> str:
    return "x".join(map(str, size))
