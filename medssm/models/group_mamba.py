"""GroupMamba: efficient group-based visual state space model.

Shaker et al., CVPR 2025, arXiv:2407.13772. The channels are split into four groups, each scanned along one direction of
the image by a small state space model of its own; a gate from the mean token mixes the groups again. Weights:
huggingface.co/Abdelrahman-shaker. Images are (B, C, H, W), tokens (B, N, C) row by row, channels last in memory all
the way. The variables A, B and C are the state-space model's.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from medssm.kernels import nd_selective_scan
from medssm.models.info import Options
from medssm.models.layers import DropPath, Mlp, check_input, class_layer, drop_path_rates, narrowed, normed
from medssm.models.mixer import ScanOrder, initialise_dt, widened
from medssm.models.recompute import Recomputing
from medssm.models.variant import StateDict, Variant

STAGES = (1, 2, 3, 4)
STRIDES = (4, 8, 16, 32)
MLP_RATIOS = (8, 8, 4, 4)
CLASS_MLP_RATIO = 4
REDUCTION = 16
DROP_PATH_RATE = 0.05
# In blocks, at the ends of stages and in the class block; every other norm has PyTorch's 1e-5.
NORM_EPS = 1e-6
# Of the four groups: rows from the first to the last token, columns, and both backwards. The paper's figure draws
# snakes; the published weights are of plain orders.
ORDERS = (ScanOrder((0, 1), False), ScanOrder((1, 0), False), ScanOrder((0, 1), True), ScanOrder((1, 0), True))

Grid = tuple[int, ...]


@dataclass(frozen=True)
class GroupMambaConfig:
    """What differs between the variants.

    Attributes:
        stem: channels of the stem's first convolutions. channels, depths: of the four stages.
        is_distilled: a second head learns from a teacher, and evaluation averages both. All published models have it.
    """

    stem: int
    channels: tuple[int, int, int, int]
    depths: tuple[int, int, int, int]
    is_distilled: bool = True


class GroupScan(nn.Module):
    """Visual single selective scan (VSSS): tokens of one group, mixed along one order; one state for each channel.

    The leading 1 of the shapes counts directions, as in the module of VMamba that the names are from.
    """

    def __init__(self, channels: int, order: ScanOrder) -> None:
        super().__init__()
        self.order = order
        self.dt_rank = math.ceil(channels / 16)
        bound = channels**-0.5
        self.x_proj_weight = nn.Parameter(torch.empty(1, self.dt_rank + 2, channels).uniform_(-bound, bound))
        self.dt_projs_weight = nn.Parameter(torch.empty(1, channels, self.dt_rank))
        self.dt_projs_bias = nn.Parameter(torch.empty(1, channels))
        initialise_dt(self.dt_projs_weight, self.dt_projs_bias)
        self.A_logs = nn.Parameter(torch.zeros(channels, 1))
        self.Ds = nn.Parameter(torch.ones(channels))
        self.out_norm = nn.LayerNorm(channels)
        self.in_proj = nn.Linear(channels, 2 * channels, bias=False)
        self.conv2d = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.out_proj = nn.Linear(channels, channels, bias=False)

    def forward(self, x: Tensor, grid: Grid) -> Tensor:
        """Tokens (B, N, C) of a grid (H, W) mixed along the order, (B, N, C)."""
        u, z = self.in_proj(narrowed(x, self.in_proj.weight)).chunk(2, dim=-1)
        u = widened(functional.silu(_convolve(self.conv2d, u, grid)))
        weight = self.x_proj_weight[0]
        low_rank, B, C = functional.linear(narrowed(u, weight), weight).split([self.dt_rank, 1, 1], dim=-1)
        dt = functional.linear(low_rank, self.dt_projs_weight[0])
        u, dt, B, C = (widened(t).transpose(1, 2) for t in (u, dt, B, C))
        A = -self.A_logs.float().exp()
        bias = self.dt_projs_bias[0]
        axes, reverse = self.order
        y = nd_selective_scan(
            u, dt, A, B, C, self.Ds, None, bias, dt_softplus=True, shape=grid, axes=axes, reverse=reverse
        )
        y = normed(self.out_norm, y.transpose(1, 2)).to(z.dtype)
        return self.out_proj(y * functional.silu(z))


class GroupMambaMixer(nn.Module):
    """Modulated group Mamba layer: each quarter of the channels scanned in its own order, then gated and mixed.

    What the scans give is multiplied by the normalised input (the paper's figure adds it), and one norm serves twice:
    before the scans and before the projection.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.skip_scale = nn.Parameter(torch.ones(1))
        self.fc1 = nn.Linear(channels, channels // REDUCTION)
        self.fc2 = nn.Linear(channels // REDUCTION, channels)
        self.norm = nn.LayerNorm(channels)
        scans = (GroupScan(channels // len(ORDERS), order) for order in ORDERS)
        self.mamba_g1, self.mamba_g2, self.mamba_g3, self.mamba_g4 = scans
        self.proj = nn.Linear(channels, channels)

    def forward(self, x: Tensor, grid: Grid) -> Tensor:
        """Tokens (B, N, C) of a grid (H, W) mixed, (B, N, C)."""
        n = normed(self.norm, widened(x))
        scans = (self.mamba_g1, self.mamba_g2, self.mamba_g3, self.mamba_g4)
        y = torch.cat([scan(part, grid) for scan, part in zip(scans, n.chunk(len(scans), dim=-1), strict=True)], dim=-1)
        y = y * n * (self.skip_scale * self._affinity(n))
        return self.proj(narrowed(normed(self.norm, y), self.proj.weight))

    def _affinity(self, n: Tensor) -> Tensor:
        """Channel affinity modulation: a gate (B, 1, C) from the mean token."""
        mean = narrowed(n.mean(dim=1, keepdim=True), self.fc1.weight)
        return torch.sigmoid(self.fc2(functional.relu(self.fc1(mean))))


class DepthwiseConv(nn.Module):
    """3x3 convolution of each channel of a grid of tokens."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)

    def forward(self, x: Tensor, grid: Grid) -> Tensor:
        """Tokens (B, N, C) of a grid (H, W) to as many, (B, N, C)."""
        return _convolve(self.dwconv, x, grid)


class ConvMlp(nn.Module):
    """Feed-forward layer with a depthwise convolution before its activation."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, hidden)
        self.dwconv = DepthwiseConv(hidden)
        self.fc2 = nn.Linear(hidden, channels)

    def forward(self, x: Tensor, grid: Grid) -> Tensor:
        """Tokens (B, N, C) of a grid (H, W) to as many, (B, N, C)."""
        return self.fc2(functional.gelu(self.dwconv(self.fc1(x), grid)))


class GroupMambaBlock(nn.Module):
    """Mixer, which normalises for itself, and feed-forward layer."""

    def __init__(self, channels: int, mlp_ratio: int, drop_path_rate: float) -> None:
        super().__init__()
        self.norm2 = nn.LayerNorm(channels, NORM_EPS)
        self.attn = GroupMambaMixer(channels)
        self.drop_path = DropPath(drop_path_rate)
        self.mlp = ConvMlp(channels, mlp_ratio * channels)

    def forward(self, x: Tensor, grid: Grid) -> Tensor:
        """Tokens (B, N, C) of a grid (H, W) to as many, (B, N, C)."""
        x = x + self.drop_path(self.attn(x, grid))
        return x + self.drop_path(self.mlp(self.norm2(x), grid))


class ClassBlock(nn.Module):
    """Block of the class token (B, 1, C), on a grid of one cell, with the mixer's norm after it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels, NORM_EPS)
        self.norm2 = nn.LayerNorm(channels, NORM_EPS)
        self.attn = GroupMambaMixer(channels)
        self.mlp = Mlp(channels, CLASS_MLP_RATIO * channels)

    def forward(self, x: Tensor) -> Tensor:
        """The class token (B, 1, C), and (B, 1, C) out."""
        x = x + self.norm1(self.attn(x, (1, 1)))
        return x + self.mlp(self.norm2(x))


class StridedEmbedding(nn.Module):
    """Map (B, C, H, W) to tokens at twice its stride and their grid, after `conv`."""

    def __init__(self, conv: nn.Module, in_channels: int, channels: int) -> None:
        super().__init__()
        self.conv = conv
        self.proj = nn.Conv2d(in_channels, channels, 3, stride=2, padding=1)
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> tuple[Tensor, Grid]:
        """Tokens (B, N, channels) and their grid (H, W)."""
        x = self.proj(self.conv(x))
        return self.norm(_tokens(x)), tuple(x.shape[2:])


def stem(in_channels: int, channels: int) -> nn.Sequential:
    """The convolutions at half resolution."""
    convolutions = (
        nn.Conv2d(in_channels, channels, 7, stride=2, padding=3, bias=False),
        nn.Conv2d(channels, channels, 3, padding=1, bias=False),
        nn.Conv2d(channels, channels, 3, padding=1, bias=False),
    )
    layers = ((convolution, nn.BatchNorm2d(channels), nn.ReLU(inplace=True)) for convolution in convolutions)
    return nn.Sequential(*(module for layer in layers for module in layer))


class GroupMamba(Recomputing):
    """Image (B, in_channels, H, W) of any size to logits (B, num_classes), or to the pyramid with `features_only`.

    Evaluation gives the mean of the logits of both heads. Training gives the pair (logits, logits of the distillation
    head), for a loss that has a teacher; without `config.is_distilled` there is one head and one tensor.

    The pyramid is our own reading, as the authors published no dense network: what the stages give after `norm1` to
    `norm4`, the last of which only ever sees the class token in the classifier.

    Attributes:
        channels, strides: of the pyramid, from the finest level to the coarsest.
    """

    norm4: nn.LayerNorm

    def __init__(self, config: GroupMambaConfig, options: Options) -> None:
        super().__init__()
        dropout_rate, drop_path_rate = options.rates(0.0, DROP_PATH_RATE)
        self.channels = config.channels
        self.strides = STRIDES
        self.features_only = options.features_only
        rates = drop_path_rates(drop_path_rate, config.depths)
        convolutions, previous = stem(options.in_channels, config.stem), config.stem
        for stage, channels, stage_rates, ratio in zip(STAGES, config.channels, rates, MLP_RATIOS, strict=True):
            blocks = nn.ModuleList(GroupMambaBlock(channels, ratio, rate) for rate in stage_rates)
            embedding = StridedEmbedding(convolutions if stage == 1 else nn.Identity(), previous, channels)
            self.add_module(f"patch_embed{stage}", embedding)
            self.add_module(f"block{stage}", blocks)
            self.add_module(f"norm{stage}", nn.LayerNorm(channels, NORM_EPS))
            previous = channels
        if not options.features_only:
            self.post_network = nn.ModuleList([ClassBlock(previous)])
            self.dropout = nn.Dropout(dropout_rate)
            self.head = class_layer(previous, options.num_classes)
            is_distilled = config.is_distilled and options.num_classes > 0
            self.dist_head = nn.Linear(previous, options.num_classes) if is_distilled else None
        self.apply(_initialise)

    def forward(self, image: Tensor) -> Tensor | tuple[Tensor, Tensor] | list[Tensor]:
        """Logits (B, num_classes), in training a pair of them; with `features_only` four maps (B, C, H, W)."""
        if self.features_only:
            return self.forward_features(image)
        return self._classify(self._stages(image)[-1])

    def forward_features(self, image: Tensor) -> list[Tensor]:
        """The pyramid, four maps (B, C, H, W) from the finest to the coarsest."""
        *finer, coarsest = self._stages(image)
        return [*finer, self.norm4(coarsest.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)]

    def _stages(self, image: Tensor) -> list[Tensor]:
        """Maps after each stage, normalised but for the last."""
        check_input(image, self.get_submodule("patch_embed1.conv.0"))
        maps = []
        x = image.contiguous(memory_format=torch.channels_last)
        for stage in STAGES:
            tokens, grid = self.get_submodule(f"patch_embed{stage}")(x)
            for block in self.get_submodule(f"block{stage}").children():
                tokens = self.run(block, tokens, grid)
            if stage != STAGES[-1]:
                tokens = self.get_submodule(f"norm{stage}")(tokens)
            x = _on_grid(tokens, grid)
            maps.append(x)
        return maps

    def _classify(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Logits from the last stage's map: its mean goes through the class block alone."""
        token = x.mean(dim=(2, 3))[:, None]
        for block in self.post_network:
            token = self.run(block, token)
        token = self.dropout(self.norm4(token)[:, 0])
        logits = self.head(token)
        if self.dist_head is None:
            return logits
        distilled = self.dist_head(token)
        return (logits, distilled) if self.training else (logits + distilled) / 2


def _on_grid(x: Tensor, grid: Grid) -> Tensor:
    """Tokens as a map (B, C, *grid), a view that torch takes for channels-last memory, in a batch of one too."""
    return x.unflatten(1, grid).permute(0, 3, 1, 2)


def _tokens(x: Tensor) -> Tensor:
    """A map as tokens (B, N, C), a view of channels-last memory."""
    return x.permute(0, 2, 3, 1).flatten(1, 2)


def _convolve(convolution: nn.Module, x: Tensor, grid: Grid) -> Tensor:
    """A convolution of tokens on their grid.

    Tokens are made contiguous first: torch's depthwise convolution is fast on channels-last memory, and ten times
    slower on what it has to lay out anew.
    """
    return _tokens(convolution(_on_grid(x.contiguous(), grid)))


def _initialise(module: nn.Module) -> None:
    """Linear layers start at std 0.02, convolutions at that of their fan-out, biases at 0."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
    elif isinstance(module, nn.Conv2d):
        fan_out = math.prod(module.kernel_size) * module.out_channels // module.groups
        nn.init.normal_(module.weight, std=math.sqrt(2 / fan_out))
    else:
        return
    if module.bias is not None:
        nn.init.zeros_(module.bias)


def with_both_heads(state: Mapping[str, Tensor]) -> StateDict:
    """Published state dict as it is; weights without a distillation head get a copy of the only one.

    The mean of two equal heads is what the one gives.
    """
    copies = {f"dist_{name}": state[name] for name in ("head.weight", "head.bias") if name in state}
    return {**copies, **state} if copies.keys().isdisjoint(state) else dict(state)


_T = GroupMambaConfig(stem=32, channels=(64, 128, 348, 448), depths=(3, 4, 9, 3))
_S = GroupMambaConfig(stem=64, channels=(64, 128, 348, 512), depths=(3, 4, 16, 3))
_B = GroupMambaConfig(stem=64, channels=(96, 192, 424, 512), depths=(3, 6, 21, 3))

VARIANTS = {
    name: Variant(partial(GroupMamba, config), with_both_heads)
    for name, config in {"groupmamba-t": _T, "groupmamba-s": _S, "groupmamba-b": _B}.items()
}
