"""MambaVision: a hybrid Mamba-Transformer vision backbone.

Hatamizadeh & Kautz, CVPR 2025, arXiv:2407.08083. Two convolutional stages, then two that mix tokens inside windows: the
first half of their blocks by a selective scan beside a branch without one, the second half by attention.
Weights: huggingface.co/nvidia (CC-BY-NC-SA-4.0, not for commercial use).
Maps are (B, C, H, W), tokens (B, N, d_model), row by row; the variables B and C are the state-space model's.
"""

import math
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from medssm.kernels import causal_conv1d, selective_scan
from medssm.models.info import HeadTask, Options
from medssm.models.layers import (
    DropPath,
    LayerNorm2d,
    Mlp,
    SelfAttention,
    check_input,
    class_layer,
    drop_path_rates,
    from_windows,
    into_windows,
    narrowed,
)
from medssm.models.mixer import initial_A_log, widened
from medssm.models.recompute import Recomputing
from medssm.models.variant import Variant

D_STATE = 8
D_CONV = 3
MLP_RATIO = 4
STEM_EPS = 1e-4  # of the stem's batch norms; all other norms have 1e-5
STRIDES = (4, 8, 16, 32)
# Of stages 3 and 4 under a detector: an image of 1333x800 is one window. Under a segmenter variants differ.
DETECTION_WINDOWS = (112, 56)


@dataclass(frozen=True)
class MambaVisionConfig:
    """What differs between the variants.

    Attributes:
        dim: width of the first stage; it doubles from stage to stage. stem_width: channels inside the stem.
        depths: blocks of the four stages. num_heads: of the attention in stages 3 and 4.
        drop_path_rate: the largest rate of stochastic depth.
        layer_scale: start of the learned factors on the branches of stages 3 and 4, None for none.
        image_size: side of the images whose maps are one window in stages 3 and 4.
        semantic_windows: of stages 3 and 4 under a segmenter; longer images are cut into several windows.
    """

    dim: int
    stem_width: int
    depths: tuple[int, int, int, int]
    num_heads: tuple[int, int]
    drop_path_rate: float
    layer_scale: float | None = None
    image_size: int = 224
    semantic_windows: tuple[int, int] = (64, 32)

    def windows(self, image_size: tuple[int, ...] | None, pyramid_for: HeadTask | None) -> tuple[int, int]:
        """Of stages 3 and 4: those that hold an image of the given size, or else the published ones."""
        if image_size is None and pyramid_for == "detection":
            return DETECTION_WINDOWS
        if image_size is None and pyramid_for == "semantic":
            return self.semantic_windows
        side = max(image_size or (self.image_size,))
        return math.ceil(side / STRIDES[2]), math.ceil(side / STRIDES[3])


class MambaVisionStem(nn.Module):
    """Image to the map of stride 4."""

    def __init__(self, in_channels: int, width: int, dim: int) -> None:
        super().__init__()
        self.conv_down = nn.Sequential(
            nn.Conv2d(in_channels, width, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(width, eps=STEM_EPS),
            nn.ReLU(),
            nn.Conv2d(width, dim, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(dim, eps=STEM_EPS),
            nn.ReLU(),
        )

    def forward(self, image: Tensor) -> Tensor:
        """Image (B, in_channels, H, W) to a map (B, dim, ceil(H / 4), ceil(W / 4))."""
        check_input(image, self.conv_down[0])
        return self.conv_down(image)


class MambaVisionDownsample(nn.Module):
    """Half the size, rounded up, and twice the channels."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.reduction = nn.Sequential(nn.Conv2d(dim, 2 * dim, 3, stride=2, padding=1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, dim, H, W) to (B, 2 * dim, ceil(H / 2), ceil(W / 2))."""
        return self.reduction(x)


class ConvBlock(nn.Module):
    """Residual block of two convolutions."""

    def __init__(self, dim: int, drop_path_rate: float) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(dim, dim, 3, padding=1)
        self.norm1 = nn.BatchNorm2d(dim)
        self.conv2 = nn.Conv2d(dim, dim, 3, padding=1)
        self.norm2 = nn.BatchNorm2d(dim)
        self.drop_path = DropPath(drop_path_rate)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, dim, H, W) to (B, dim, H, W)."""
        branch = functional.gelu(self.norm1(self.conv1(x)), approximate="tanh")
        return x + self.drop_path(self.norm2(self.conv2(branch)))


class MambaVisionMixer(nn.Module):
    """Tokens mixed by two branches of half the width: a selective scan in one direction, and no scan at all."""

    def __init__(self, d_model: int) -> None:
        super().__init__()
        d_inner = d_model // 2
        self.dt_rank = math.ceil(d_model / 16)
        self.A_log = nn.Parameter(initial_A_log(d_inner, D_STATE))
        self.D = nn.Parameter(torch.ones(d_inner))
        self.in_proj = nn.Linear(d_model, d_model, bias=False)
        self.x_proj = nn.Linear(d_inner, self.dt_rank + 2 * D_STATE, bias=False)
        self.dt_proj = nn.Linear(self.dt_rank, d_inner)
        self.out_proj = nn.Linear(d_model, d_model, bias=False)
        self.conv1d_x = nn.Conv1d(d_inner, d_inner, D_CONV, groups=d_inner, bias=False)
        self.conv1d_z = nn.Conv1d(d_inner, d_inner, D_CONV, groups=d_inner, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Mixed tokens, (B, N, d_model).

        The kernels take (batch, dim, length); transposed views give them channels-last memory without a copy. float16,
        whose range the states exceed, is widened.
        """
        x, z = self._convolved(widened(self.in_proj(tokens))).chunk(2, dim=1)  # (B, d_model / 2, N)
        low_rank, B, C = self.x_proj(narrowed(x.transpose(1, 2), self.x_proj.weight)).split(
            [self.dt_rank, D_STATE, D_STATE], dim=-1
        )
        dt = functional.linear(low_rank, self.dt_proj.weight)
        dt, B, C = (widened(t).transpose(1, 2) for t in (dt, B, C))
        # The original's dt_proj adds its bias, and its scan adds the bias again.
        dt_bias = 2 * self.dt_proj.bias
        y = selective_scan(x, dt, -self.A_log.float().exp(), B, C, self.D, dt_bias=dt_bias, dt_softplus=True)
        mixed = torch.cat([y, z], dim=1).transpose(1, 2)
        return self.out_proj(narrowed(mixed, self.out_proj.weight))

    def _convolved(self, tokens: Tensor) -> Tensor:
        """Both branches through their convolutions and SiLU, (B, d_model, N).

        The taps lie around the token: a causal convolution of one token more, read one token late.
        """
        taps = torch.cat([self.conv1d_x.weight, self.conv1d_z.weight]).squeeze(1)
        longer = functional.pad(tokens, (0, 0, 0, D_CONV // 2)).transpose(1, 2)
        return causal_conv1d(longer, taps, activation="silu")[:, :, D_CONV // 2 :]


class MambaVisionBlock(nn.Module):
    """Residual block of a token mixer and an MLP, each with its learned factors where the variant has them."""

    gamma_1: nn.Parameter | None
    gamma_2: nn.Parameter | None

    def __init__(self, mixer: nn.Module, d_model: int, drop_path_rate: float, layer_scale: float | None) -> None:
        super().__init__()
        for name in ("gamma_1", "gamma_2"):
            start = None if layer_scale is None else nn.Parameter(torch.full((d_model,), layer_scale))
            self.register_parameter(name, start)
        self.norm1 = nn.LayerNorm(d_model)
        self.mixer = mixer
        self.norm2 = nn.LayerNorm(d_model)
        self.mlp = Mlp(d_model, MLP_RATIO * d_model)
        self.drop_path = DropPath(drop_path_rate)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens (B, N, d_model) to (B, N, d_model)."""
        x = x + self.drop_path(_scaled(self.mixer(self.norm1(x)), self.gamma_1))
        return x + self.drop_path(_scaled(self.mlp(self.norm2(x)), self.gamma_2))


def _scaled(x: Tensor, factors: Tensor | None) -> Tensor:
    return x if factors is None else factors * x


class MambaVisionStage(Recomputing):
    """Blocks on a map of one width: the map after them, and what the next stage takes."""

    def __init__(self, blocks: list[nn.Module], downsample: nn.Module) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.downsample = downsample

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map (B, C, H, W) after the blocks, and downsampled, (B, 2 * C, H / 2, W / 2), but for the last stage."""
        x = self.run_blocks(x)
        return x, self.downsample(x)

    def run_blocks(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) through the blocks, (B, C, H, W)."""
        for block in self.blocks:
            x = self.run(block, x)
        return x


class WindowedStage(MambaVisionStage):
    """Blocks on the tokens of each window; the windows exchange nothing.

    A map that is no multiple of the window is padded with zeros at its right and bottom. There is no mask: the blocks
    treat padding as tokens like others, as the original does. A token of zeros has no variance to be normed by, so with
    fresh weights the gradients through padding are huge (10^8 measured): train at the size that the windows are for.
    """

    def __init__(self, blocks: list[nn.Module], downsample: nn.Module, window: int) -> None:
        super().__init__(blocks, downsample)
        self.window = window

    def run_blocks(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) through the blocks, window by window, (B, C, H, W)."""
        height, width = x.shape[2:]
        padding = (0, 0, 0, -width % self.window, 0, -height % self.window)
        x = functional.pad(x.permute(0, 2, 3, 1), padding)
        tokens = super().run_blocks(into_windows(x, self.window))  # (B * windows, window^2, C)
        x = from_windows(tokens, self.window, (x.shape[1], x.shape[2]))
        return x[:, :height, :width].permute(0, 3, 1, 2)


class MambaVision(Recomputing):
    """Image (B, C, H, W) of any size to logits, or to the pyramid that a detector or a segmenter takes.

    The pyramid of `features_only` is the backbone's that the authors published for dense prediction: the map of every
    stage through a norm of its own. Weights of a classifier have no such norms, they start afresh then; the maps
    without them are those of `forward_features`, of either network.
    """

    strides = STRIDES

    def __init__(self, config: MambaVisionConfig, options: Options) -> None:
        super().__init__()
        windows = config.windows(options.input_size, options.pyramid_for)
        dropout_rate, drop_path_rate = options.rates(0.0, config.drop_path_rate)
        self.channels = tuple(config.dim * 2**stage for stage in range(4))
        self.features_only = options.features_only
        self.patch_embed = MambaVisionStem(options.in_channels, config.stem_width, config.dim)
        rates = drop_path_rates(drop_path_rate, config.depths)
        self.levels = nn.ModuleList(
            _stage(config, stage, dim, rates[stage], windows) for stage, dim in enumerate(self.channels)
        )
        if options.features_only:
            for stage, dim in enumerate(self.channels):
                self.add_module(f"outnorm{stage}", LayerNorm2d(dim, eps=1e-5))
        else:
            self.norm = nn.BatchNorm2d(self.channels[-1])
            self.dropout = nn.Dropout(dropout_rate)
            self.head = class_layer(self.channels[-1], options.num_classes)
        self.apply(_initialise)

    def forward(self, image: Tensor) -> Tensor | list[Tensor]:
        """Logits (B, num_classes), or four maps (B, C, H, W) with `features_only`."""
        maps = self.forward_features(image)
        if self.features_only:
            return [self.get_submodule(f"outnorm{stage}")(x) for stage, x in enumerate(maps)]
        pooled = self.norm(maps[-1]).mean((2, 3))
        return self.head(self.dropout(pooled))

    def forward_features(self, image: Tensor) -> list[Tensor]:
        """The map of every stage before its downsampling, (B, C, ceil(H / stride), ceil(W / stride))."""
        x = self.patch_embed(image)
        maps = []
        for level in self.levels:
            feature_map, x = level(x)
            maps.append(feature_map)
        return maps


def _stage(
    config: MambaVisionConfig, stage: int, dim: int, drop_path_rates: list[float], windows: tuple[int, int]
) -> MambaVisionStage:
    downsample = MambaVisionDownsample(dim) if stage < 3 else nn.Identity()
    if stage < 2:
        return MambaVisionStage([ConvBlock(dim, rate) for rate in drop_path_rates], downsample)
    depth, num_heads = len(drop_path_rates), config.num_heads[stage - 2]
    blocks: list[nn.Module] = []
    for number, rate in enumerate(drop_path_rates):
        scans = number < math.ceil(depth / 2)
        mixer = MambaVisionMixer(dim) if scans else SelfAttention(dim, num_heads)
        blocks.append(MambaVisionBlock(mixer, dim, rate, config.layer_scale))
    return WindowedStage(blocks, downsample, window=windows[stage - 2])


def _initialise(module: nn.Module) -> None:
    """The projection to the step sizes is drawn like every other one: the original's initialiser runs over it too."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


_T = MambaVisionConfig(80, 32, (1, 3, 8, 4), (8, 16), 0.2)
_T2 = MambaVisionConfig(80, 32, (1, 3, 11, 4), (8, 16), 0.2)
_S = MambaVisionConfig(96, 64, (3, 3, 7, 5), (8, 16), 0.2, semantic_windows=(160, 56))
_B = MambaVisionConfig(128, 64, (3, 3, 10, 5), (8, 16), 0.3, layer_scale=1e-5)
_L = MambaVisionConfig(196, 64, (3, 3, 10, 5), (16, 32), 0.3, layer_scale=1e-5)
_L2 = MambaVisionConfig(196, 64, (3, 3, 12, 5), (16, 32), 0.3, layer_scale=1e-5)
_L2_512 = replace(_L2, image_size=512)
_L3_256 = MambaVisionConfig(256, 64, (3, 3, 20, 10), (16, 32), 0.5, layer_scale=1e-5, image_size=256)
_L3_512 = replace(_L3_256, image_size=512)

_CONFIGS = {
    "mambavision-t": _T,
    "mambavision-t2": _T2,
    "mambavision-s": _S,
    "mambavision-b": _B,
    "mambavision-l": _L,
    "mambavision-l2": _L2,
    "mambavision-b-21k": _B,
    "mambavision-l-21k": _L,
    "mambavision-l2-512-21k": _L2_512,
    "mambavision-l3-256-21k": _L3_256,
    "mambavision-l3-512-21k": _L3_512,
}
VARIANTS = {name: Variant(partial(MambaVision, config)) for name, config in _CONFIGS.items()}
