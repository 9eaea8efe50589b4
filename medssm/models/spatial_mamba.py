"""Spatial-Mamba: effective visual state space models via structure-aware state fusion.

Xiao et al., ICLR 2025, arXiv:2410.15091. One scan with one state a channel, row by row; before the states are read out
they are mixed as an image, by three dilated kernels. Weights: github.com/EdwardChasel/Spatial-Mamba, on Google Drive.
Images are (B, C, H, W); inside, maps are (B, H, W, C), channels last in memory all the way. The variables A, B and C
are the state-space model's.
"""

import math
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from medssm.kernels import state_fusion, state_scan
from medssm.models.info import Options
from medssm.models.layers import DropPath, Mlp, check_input, class_layer, drop_path_rates, narrowed, normed
from medssm.models.mixer import initialise_dt, widened
from medssm.models.recompute import Recomputing
from medssm.models.variant import Variant

STRIDES = (4, 8, 16, 32)
EXPAND = 2
MLP_RATIO = 4
DILATIONS = (1, 3, 5)


@dataclass(frozen=True)
class SpatialMambaConfig:
    """What differs between the variants.

    Attributes:
        width: channels of the first stage; each later one has twice as many. depths: blocks of the stages.
        drop_path_rate: the largest rate of stochastic depth.
    """

    width: int
    depths: tuple[int, int, int, int]
    drop_path_rate: float


class StateFusion(nn.Module):
    """Structure-aware state fusion: states (B, dim, H * W) with those of their neighbours at three distances."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.kernel_3 = nn.Parameter(torch.ones(dim, 1, 3, 3))
        self.kernel_3_1 = nn.Parameter(torch.ones(dim, 1, 3, 3))
        self.kernel_3_2 = nn.Parameter(torch.ones(dim, 1, 3, 3))
        self.alpha = nn.Parameter(torch.ones(len(DILATIONS)))

    def forward(self, h: Tensor, grid: tuple[int, int]) -> Tensor:
        """States (B, dim, H * W) of a grid (H, W), fused; (B, dim, H * W)."""
        kernels = torch.cat([self.kernel_3, self.kernel_3_1, self.kernel_3_2], dim=1).transpose(0, 1)
        return state_fusion(h, kernels, self.alpha, shape=grid, dilations=DILATIONS)


class SpatialMambaMixer(nn.Module):
    """Gated selective state-space layer whose states are fused before they are read; maps (B, H, W, C) in and out."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        d_inner = EXPAND * channels
        bound = d_inner**-0.5
        self.dt_rank = math.ceil(channels / 16)
        self.x_proj_weight = nn.Parameter(torch.empty(self.dt_rank + 2, d_inner).uniform_(-bound, bound))
        self.dt_projs_weight = nn.Parameter(torch.empty(d_inner, self.dt_rank))
        self.dt_projs_bias = nn.Parameter(torch.empty(d_inner))
        initialise_dt(self.dt_projs_weight, self.dt_projs_bias)
        self.A_logs = nn.Parameter(torch.zeros(d_inner, 1))
        self.Ds = nn.Parameter(torch.ones(d_inner))
        self.in_proj = nn.Linear(channels, 2 * d_inner, bias=False)
        self.conv2d = nn.Conv2d(d_inner, d_inner, 3, padding=1, groups=d_inner)
        self.act = nn.SiLU()
        self.state_fusion = StateFusion(d_inner)
        self.out_norm = nn.LayerNorm(d_inner)
        self.out_proj = nn.Linear(d_inner, channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, H, W, channels) mixed, (B, H, W, channels)."""
        grid = (x.shape[1], x.shape[2])
        u, z = self.in_proj(x).chunk(2, dim=-1)
        u = widened(self.act(_convolve(self.conv2d, u.contiguous()))).flatten(1, 2)
        parameters = functional.linear(narrowed(u, self.x_proj_weight), self.x_proj_weight)
        low_rank, B, C = parameters.split([self.dt_rank, 1, 1], dim=-1)
        dt = functional.linear(low_rank, self.dt_projs_weight)
        # From here to the norm (B, d_inner, H * W), the kernels' order: transposed views, without a copy.
        u, dt, B, C = (widened(t).transpose(1, 2) for t in (u, dt, B, C))
        A = -self.A_logs.float().exp()
        h = state_scan(u, dt, A, B, self.dt_projs_bias, dt_softplus=True)[:, :, 0]
        y = C * self.state_fusion(h, grid) + self.Ds[:, None] * u
        y = normed(self.out_norm, y.transpose(1, 2)).to(z.dtype).unflatten(1, grid)
        return self.out_proj(y * functional.silu(z))


class SpatialMambaBlock(nn.Module):
    """Mixer and feed-forward layer, each after a depthwise convolution that tells the position."""

    def __init__(self, channels: int, drop_path_rate: float) -> None:
        super().__init__()
        self.cpe1 = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.ln_1 = nn.LayerNorm(channels)
        self.self_attention = SpatialMambaMixer(channels)
        self.drop_path = DropPath(drop_path_rate)
        self.cpe2 = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.ln_2 = nn.LayerNorm(channels)
        self.mlp = Mlp(channels, MLP_RATIO * channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, H, W, channels) to (B, H, W, channels)."""
        x = x + _convolve(self.cpe1, x)
        x = x + self.drop_path(self.self_attention(self.ln_1(x)))
        x = x + _convolve(self.cpe2, x)
        return x + self.drop_path(self.mlp(self.ln_2(x)))


class ConvNormUnit(nn.Module):
    """Convolution of an image (B, C, H, W), with a norm and an activation where asked for."""

    def __init__(
        self,
        in_channels: int,
        channels: int,
        kernel_size: int,
        *,
        stride: int = 1,
        groups: int = 1,
        bias: bool = False,
        norm: bool = True,
        act: bool = True,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, channels, kernel_size, stride, kernel_size // 2, groups=groups, bias=bias)
        self.norm = nn.BatchNorm2d(channels) if norm else nn.Identity()
        self.act = nn.ReLU(inplace=True) if act else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, H, W) to (B, channels, H, W), its sides divided by the stride."""
        return self.act(self.norm(self.conv(x)))


class SpatialMambaStem(nn.Module):
    """Image (B, C, H, W) to a map (B, H / 4, W / 4, channels)."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        half, inner = channels // 2, 4 * channels
        self.conv1 = ConvNormUnit(in_channels, half, 3, stride=2)
        self.conv2 = nn.Sequential(ConvNormUnit(half, half, 3), ConvNormUnit(half, half, 3, act=False))
        self.conv3 = nn.Sequential(ConvNormUnit(half, inner, 3, stride=2), ConvNormUnit(inner, channels, 1, act=False))

    def forward(self, image: Tensor) -> Tensor:
        """Image (B, in_channels, H, W) to a map (B, H / 4, W / 4, channels), rounded up."""
        check_input(image, self.conv1.conv)
        x = self.conv1(image.contiguous(memory_format=torch.channels_last))
        return self.conv3(x + self.conv2(x)).permute(0, 2, 3, 1)


class Downsampling(nn.Module):
    """Map (B, H, W, channels) to (B, H / 2, W / 2, 2 * channels), by way of 8 * channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = 8 * channels
        self.conv = nn.Sequential(
            ConvNormUnit(channels, inner, 1, bias=True, norm=False),
            ConvNormUnit(inner, inner, 3, stride=2, groups=inner, bias=True, norm=False),
            ConvNormUnit(inner, 2 * channels, 1, bias=True, act=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, H, W, channels) to (B, H / 2, W / 2, 2 * channels), rounded up."""
        return _convolve(self.conv, x)


class SpatialMambaStage(Recomputing):
    """Blocks at one resolution: what they give, and the map that the next stage starts from."""

    def __init__(self, channels: int, drop_path_rates: list[float], is_last: bool) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(SpatialMambaBlock(channels, rate) for rate in drop_path_rates)
        self.downsample = nn.Identity() if is_last else Downsampling(channels)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map (B, H, W, C) after the blocks, and downsampled, (B, H / 2, W / 2, 2 * C), but for the last stage."""
        for block in self.blocks:
            x = self.run(block, x)
        return x, self.downsample(x)


class SpatialMamba(Recomputing):
    """Image (B, in_channels, H, W) of any size to logits (B, num_classes), or to the pyramid with `features_only`.

    The pyramid is what the stages give, through `outnorm0` to `outnorm3` in the network that gives nothing else, which
    is the authors' dense backbone; the classifier has no such norms.

    Attributes:
        channels, strides: of the pyramid, from the finest level to the coarsest.
    """

    def __init__(self, config: SpatialMambaConfig, options: Options) -> None:
        super().__init__()
        dropout_rate, drop_path_rate = options.rates(0.0, config.drop_path_rate)
        self.channels = tuple(config.width * 2**stage for stage in range(len(config.depths)))
        self.strides = STRIDES
        self.features_only = options.features_only
        self.patch_embed = SpatialMambaStem(options.in_channels, config.width)
        self.dropout = nn.Dropout(dropout_rate)  # where the original has its only one, at rate 0
        rates = drop_path_rates(drop_path_rate, config.depths)
        self.layers = nn.ModuleList(
            SpatialMambaStage(channels, stage_rates, is_last=channels == self.channels[-1])
            for channels, stage_rates in zip(self.channels, rates, strict=True)
        )
        if options.features_only:
            for stage, channels in enumerate(self.channels):
                self.add_module(f"outnorm{stage}", nn.LayerNorm(channels))
        else:
            self.norm = nn.LayerNorm(self.channels[-1])
            self.head = class_layer(self.channels[-1], options.num_classes)
        self.apply(_initialise)

    def forward(self, image: Tensor) -> Tensor | list[Tensor]:
        """Logits (B, num_classes), or four maps (B, C, H, W) with `features_only`."""
        if self.features_only:
            return self.forward_features(image)
        x = self.norm(self._stages(image)[-1])
        return self.head(x.mean(dim=(1, 2)))

    def forward_features(self, image: Tensor) -> list[Tensor]:
        """The pyramid, four maps (B, C, H, W) from the finest to the coarsest."""
        maps = self._stages(image)
        if self.features_only:
            maps = [self.get_submodule(f"outnorm{stage}")(x) for stage, x in enumerate(maps)]
        return [x.permute(0, 3, 1, 2) for x in maps]

    def _stages(self, image: Tensor) -> list[Tensor]:
        """Maps (B, H, W, C) after the last block of each stage."""
        maps = []
        x = self.dropout(self.patch_embed(image))
        for stage in self.layers:
            output, x = stage(x)
            maps.append(output)
        return maps


def _convolve(convolution: nn.Module, x: Tensor) -> Tensor:
    """A convolution of a map (B, H, W, C), by views of channels-last memory."""
    return convolution(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


# Small enough to learn synthetic images in minutes on two CPU cores.
_XS = SpatialMambaConfig(width=16, depths=(1, 1, 2, 1), drop_path_rate=0.0)
_T = SpatialMambaConfig(width=64, depths=(2, 4, 8, 4), drop_path_rate=0.2)
_S = SpatialMambaConfig(width=64, depths=(2, 4, 21, 5), drop_path_rate=0.3)
_B = SpatialMambaConfig(width=96, depths=(2, 4, 21, 5), drop_path_rate=0.5)

_CONFIGS = {"xs": _XS, "t": _T, "s": _S, "b": _B}
VARIANTS = {f"spatialmamba-{size}": Variant(partial(SpatialMamba, config)) for size, config in _CONFIGS.items()}
