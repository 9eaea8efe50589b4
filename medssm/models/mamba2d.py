"""Mamba2D: a natively multi-dimensional state-space model for vision.

Baty, Hernandez Diaz, Davidson, Bridges & Hadfield, arXiv:2412.16146. In the first two stages tokens are mixed by one
recurrence over the grid, fed from above and from the left, in the last two by attention. Two releases are different
networks: the first, of April 2025, has one size, the second, of March 2026, three.
Weights: github.com/cocoalex00/Mamba2D/releases (without a licence file).
Inside, tokens are (B, H, W, C); images and feature maps are (B, C, H, W). The variables B and C are the state-space
model's.
"""

import math
from collections import OrderedDict
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from medssm.errors import UsageError
from medssm.kernels import wavefront_scan
from medssm.models.info import Options
from medssm.models.layers import DropPath, Mlp, check_input, drop_path_rates, narrowed, normed
from medssm.models.mixer import initial_A_log, initialise_dt, widened
from medssm.models.recompute import Recomputing
from medssm.models.variant import Variant

D_STATE = 16
HEAD_DIM = 32
MLP_RATIO = 4
LOCAL_EXPAND = 2
ROTARY_BASE = 10000
STRIDES = (4, 8, 16, 32)
ATTENTION_STAGES = (2, 3)


@dataclass(frozen=True)
class Mamba2DConfig:
    """What differs between the variants; the defaults are those of the second release.

    Attributes:
        depths: blocks of the four stages. dims: their widths.
        drop_path_rate: the largest rate of stochastic depth. dropout_rate: in the head.
        expand: width of the recurrence over that of the tokens.
        shares_B: one B feeds the recurrence from both sides (and the projection that gives it has a bias).
        alternates: every second block of a stage scans from the bottom right corner in place of the top left one.
        norm_after_stage: every stage ends with a norm; else there is one before every downsampling convolution.
        scaled_stages: where the skips have learned factors.
        rotary: attention knows positions, by a 2-D rotary embedding, and norms its queries and keys.
    """

    depths: tuple[int, int, int, int]
    dims: tuple[int, int, int, int]
    drop_path_rate: float
    dropout_rate: float
    expand: int = 1
    shares_B: bool = False
    alternates: bool = True
    norm_after_stage: bool = True
    scaled_stages: tuple[int, ...] = (0, 1, 2, 3)
    rotary: bool = True


class StarReLU(nn.Module):
    """s * relu(x)² + b with two learned numbers.

    Source: Yu et al. 2022, arXiv:2210.13452.
    """

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """Values of any shape, each alone."""
        return self.scale * functional.relu(x) ** 2 + self.bias


class Scale(nn.Module):
    """A learned factor for each channel of (..., dim)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        """Values (..., dim), multiplied by the factors; (..., dim)."""
        return x * self.scale


class LocalPath(nn.Module):
    """Inverted bottleneck around a depthwise convolution."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        hidden = LOCAL_EXPAND * dim
        self.pwconv1 = nn.Linear(dim, hidden, bias=False)
        self.act1 = StarReLU()
        self.dwconv = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden, bias=False)
        self.act2 = StarReLU()
        self.pwconv2 = nn.Linear(hidden, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, H, W, dim) to (B, H, W, dim)."""
        x = self.act1(self.pwconv1(x))
        x = _on_channels_first(self.dwconv, x)
        return self.pwconv2(self.act2(x))


class Mamba2DMixer(nn.Module):
    """A recurrence over the whole grid beside a convolution; `reverse` scans from the bottom right corner."""

    def __init__(self, dim: int, expand: int, shares_B: bool, reverse: bool) -> None:
        super().__init__()
        d_inner = expand * dim
        dt_rank = math.ceil(dim / 16)
        self.reverse = reverse
        self.shares_B = shares_B
        # Of the projection: low-rank step sizes from above (T) and from the left (L), one or two B, and C.
        self.sizes = [dt_rank, dt_rank, D_STATE, D_STATE] + [D_STATE] * (not shares_B)
        decays = initial_A_log(d_inner, D_STATE)
        self.AT_log = nn.Parameter(decays)
        self.AL_log = nn.Parameter(decays.clone())
        self.D = nn.Parameter(torch.ones(d_inner))
        self.local_norm = nn.LayerNorm(dim)
        self.local_path = LocalPath(dim)
        self.in_proj = nn.Linear(dim, d_inner)
        self.x_proj = nn.Linear(d_inner, sum(self.sizes), bias=shares_B)
        self.dt_projT = nn.Linear(dt_rank, d_inner)
        self.dt_projL = nn.Linear(dt_rank, d_inner)
        self.out_proj = nn.Linear(d_inner, dim)
        self._initialise_dt()

    def _initialise_dt(self) -> None:
        """As Mamba-1 does, with one sample of biases for both axes."""
        for projection in (self.dt_projL, self.dt_projT):
            initialise_dt(projection.weight, projection.bias)
        with torch.no_grad():
            self.dt_projL.bias.copy_(self.dt_projT.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, H, W, dim) mixed, (B, H, W, dim)."""
        return self._scanned(x) + self.local_path(self.local_norm(x))

    def _scanned(self, x: Tensor) -> Tensor:
        """The recurrence between two projections, (B, H, W, dim).

        The kernel takes (batch, dim, length); transposed views give it channels-last memory without a copy. float16,
        whose range the states exceed, is widened. The original flips the tokens before the first projection and back
        after the last; as both work on each token alone, scanning in reverse is the same.
        """
        shape = x.shape[1:3]
        u = functional.gelu(self.in_proj(x)).flatten(1, 2)  # (B, N, d_inner)
        low_rank_top, low_rank_left, B_top, *B_left, C = self.x_proj(u).split(self.sizes, dim=-1)
        dt_top = functional.linear(low_rank_top, self.dt_projT.weight)
        dt_left = functional.linear(low_rank_left, self.dt_projL.weight)
        activations = (u, dt_top, dt_left, B_top, B_top if self.shares_B else B_left[0], C)
        u, dt_top, dt_left, B_top, B_left, C = (widened(t).transpose(1, 2) for t in activations)
        y = wavefront_scan(
            u,
            dt_top,
            dt_left,
            -self.AT_log.float().exp(),
            -self.AL_log.float().exp(),
            B_top,
            B_left,
            C,
            self.D,
            self.dt_projT.bias,
            self.dt_projL.bias,
            dt_softplus=True,
            shape=shape,
            reverse=self.reverse,
        )
        return self.out_proj(narrowed(functional.gelu(y.transpose(1, 2)), self.out_proj.weight)).unflatten(1, shape)


class Attention(nn.Module):
    """Attention of every token of the grid to every other."""

    def __init__(self, dim: int, rotary: bool) -> None:
        super().__init__()
        self.rotary = rotary
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.proj = nn.Linear(dim, dim, bias=False)
        if rotary:
            self.q_norm = nn.LayerNorm(HEAD_DIM)
            self.k_norm = nn.LayerNorm(HEAD_DIM)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, H, W, dim) to (B, H, W, dim)."""
        height, width = x.shape[1:3]
        q, k, v = self.qkv(x.flatten(1, 2)).unflatten(2, (3, -1, HEAD_DIM)).permute(2, 0, 3, 1, 4)
        if self.rotary:  # (B, heads, N, HEAD_DIM)
            angles = rotary_angles(height, width, x.device)
            q = normed(self.q_norm, rotated(q, angles)).to(v.dtype)
            k = normed(self.k_norm, rotated(k, angles)).to(v.dtype)
        y = functional.scaled_dot_product_attention(q, k, v)
        return self.proj(y.transpose(1, 2).flatten(2)).unflatten(1, (height, width))


def rotary_angles(height: int, width: int, device: torch.device | None = None) -> Tensor:
    """By how much each pair of values of a head turns in each cell of a grid, (N, HEAD_DIM / 2), in float32.

    The first half of the pairs turns with the row, the other with the column; the slower, the further back.
    """
    count = HEAD_DIM // 4
    speeds = ROTARY_BASE ** (-torch.arange(count, device=device) / count)
    rows, columns = torch.arange(height, device=device), torch.arange(width, device=device)
    by_row = (rows[:, None] * speeds).repeat_interleave(width, dim=0)
    by_column = (columns[:, None] * speeds).repeat(height, 1)
    return torch.cat([by_row, by_column], dim=1)


def rotated(x: Tensor, angles: Tensor) -> Tensor:
    """Neighbouring values of the last axis as points of a plane, turned by their angles.

    Args:
        x: (..., N, 2 pairs). angles: (N, pairs).
    """
    cos, sin = angles.cos(), angles.sin()
    p, q = x.unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack([p * cos - q * sin, q * cos + p * sin], dim=-1).flatten(-2)


class Mamba2DBlock(nn.Module):
    """MetaFormer block: a mixer and an MLP; the learned factors, if any, are on the skips, not on the branches."""

    def __init__(self, mixer: nn.Module, dim: int, scales: bool, drop_path_rate: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.token_mixer = mixer
        self.res_scale1 = Scale(dim) if scales else nn.Identity()
        self.norm2 = nn.LayerNorm(dim)
        self.MLP = Mlp(dim, MLP_RATIO * dim)
        self.res_scale2 = Scale(dim) if scales else nn.Identity()
        self.drop_path = DropPath(drop_path_rate)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, H, W, dim) to (B, H, W, dim)."""
        x = self.res_scale1(x) + self.drop_path(self.token_mixer(self.norm1(x)))
        return self.res_scale2(x) + self.drop_path(self.MLP(self.norm2(x)))


class Mamba2DDownsample(nn.Module):
    """A strided convolution on tokens, with a norm before or after it if asked for."""

    def __init__(self, conv: nn.Conv2d, pre_norm: bool = False, post_norm: bool = False) -> None:
        super().__init__()
        self.pre_norm = _named_norm(conv.in_channels) if pre_norm else nn.Identity()
        self.conv = conv
        self.post_norm = _named_norm(conv.out_channels) if post_norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, H, W, in_channels) to the coarser (B, H', W', out_channels) of the convolution."""
        return self.post_norm(_on_channels_first(self.conv, self.pre_norm(x)))


def _named_norm(dim: int) -> nn.Module:
    return nn.Sequential(OrderedDict(norm=nn.LayerNorm(dim)))


def _on_channels_first(module: nn.Module, x: Tensor) -> Tensor:
    return module(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


class Mamba2DStage(Recomputing, nn.Sequential):
    """Blocks and, where the stage ends with one, a norm, one after another."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, H, W, dim) to (B, H, W, dim)."""
        for layer in self:
            x = self.run(layer, x)
        return x


class Backbone(Recomputing):
    """Image (B, C, H, W) to the output of each stage, (B, C, H / stride, W / stride)."""

    strides = STRIDES

    def __init__(self, config: Mamba2DConfig, in_channels: int, drop_path_rate: float) -> None:
        super().__init__()
        self.channels = config.dims
        stem = nn.Conv2d(in_channels, config.dims[0], 7, stride=4, padding=2)
        self.ds = nn.ModuleDict({"stem": Mamba2DDownsample(stem, post_norm=True)})
        for stage in (1, 2, 3):
            conv = nn.Conv2d(config.dims[stage - 1], config.dims[stage], 3, stride=2, padding=1)
            self.ds[f"ds{stage}"] = Mamba2DDownsample(conv, pre_norm=not config.norm_after_stage)
        rates = drop_path_rates(drop_path_rate, config.depths)
        self.stages = nn.ModuleList(_stage(config, stage, rates[stage]) for stage in range(4))

    def forward(self, image: Tensor) -> list[Tensor]:
        """Four maps (B, C, H, W), from the finest to the coarsest."""
        check_input(image, self.get_submodule("ds.stem.conv"))
        height, width = image.shape[2:]
        if min(height, width) < 3:
            raise UsageError(f"an image of {height}x{width} pixels is too small for Mamba2D; give it 3x3 or more")
        x = image.permute(0, 2, 3, 1)
        maps = []
        for downsample, stage in zip(self.ds.values(), self.stages, strict=True):
            x = stage(downsample(x))
            maps.append(x.permute(0, 3, 1, 2))
        return maps


def _stage(config: Mamba2DConfig, stage: int, drop_path_rates: list[float]) -> Mamba2DStage:
    dim = config.dims[stage]
    layers: list[nn.Module] = []
    for number, rate in enumerate(drop_path_rates):
        if stage in ATTENTION_STAGES:
            mixer: nn.Module = Attention(dim, config.rotary)
        else:
            mixer = Mamba2DMixer(dim, config.expand, config.shares_B, reverse=config.alternates and number % 2 == 1)
        layers.append(Mamba2DBlock(mixer, dim, stage in config.scaled_stages, rate))
    if config.norm_after_stage:
        layers.append(nn.LayerNorm(dim))
    return Mamba2DStage(*layers)


class MlpHead(nn.Module):
    """Pooled features (B, dim) to logits (B, num_classes)."""

    def __init__(self, dim: int, num_classes: int, dropout_rate: float) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, MLP_RATIO * dim)
        self.norm = nn.LayerNorm(MLP_RATIO * dim)
        self.fc2 = nn.Linear(MLP_RATIO * dim, num_classes)
        self.head_drop = nn.Dropout(dropout_rate)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, num_classes) of features (B, dim)."""
        return self.fc2(self.head_drop(self.norm(functional.gelu(self.fc1(x)))))


class Mamba2D(Recomputing):
    """Image (B, C, H, W) of any size from 3x3 pixels to logits, or to its pyramid with `features_only`."""

    strides = STRIDES

    def __init__(self, config: Mamba2DConfig, options: Options) -> None:
        super().__init__()
        dropout_rate, drop_path_rate = options.rates(config.dropout_rate, config.drop_path_rate)
        self.channels = config.dims
        self.features_only = options.features_only
        self.backbone = Backbone(config, options.in_channels, drop_path_rate)
        if not options.features_only:
            dim = config.dims[-1]
            self.head = MlpHead(dim, options.num_classes, dropout_rate) if options.num_classes else nn.Identity()
            self.norm = nn.LayerNorm(dim)

    def forward(self, image: Tensor) -> Tensor | list[Tensor]:
        """Logits (B, num_classes), or four maps (B, C, H, W) with `features_only`."""
        maps = self.forward_features(image)
        if self.features_only:
            return maps
        return self.head(self.norm(maps[-1].mean((2, 3))))

    def forward_features(self, image: Tensor) -> list[Tensor]:
        """The output of every stage, (B, C, H, W), from the finest to the coarsest."""
        return self.backbone(image)


_N = Mamba2DConfig((3, 3, 9, 3), (32, 64, 160, 256), drop_path_rate=0.0, dropout_rate=0.0)
_T = Mamba2DConfig((3, 3, 9, 3), (64, 128, 320, 512), drop_path_rate=0.175, dropout_rate=0.15)
_S = Mamba2DConfig((3, 12, 14, 3), (96, 192, 384, 576), drop_path_rate=0.4, dropout_rate=0.4)
_T_V1 = replace(
    _T, expand=2, shares_B=True, alternates=False, norm_after_stage=False, scaled_stages=(2, 3), rotary=False
)

VARIANTS = {
    name: Variant(partial(Mamba2D, config))
    for name, config in {"mamba2d-n": _N, "mamba2d-t": _T, "mamba2d-s": _S, "mamba2d-t-v1": _T_V1}.items()
}
