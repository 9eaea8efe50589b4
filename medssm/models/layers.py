"""Small layers that several architectures are made of, with the entries and the random draws of timm's.

They are written out here because importing timm reads every one of its models, and torchvision's, which takes longer
than torch itself.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from medssm.errors import UsageError


class DropPath(nn.Module):
    """Stochastic depth: in training a branch (B, ...) is 0 for some samples, and larger for the others to make up.

    Source: Huang et al. 2016, arXiv:1603.09382.
    """

    def __init__(self, drop_prob: float) -> None:
        super().__init__()
        self.drop_prob = drop_prob

    def forward(self, x: Tensor) -> Tensor:
        """A branch (B, ...), with some samples dropped in training; (B, ...)."""
        if self.drop_prob == 0 or not self.training:
            return x
        kept = 1 - self.drop_prob
        mask = x.new_empty((x.shape[0],) + (1,) * (x.ndim - 1)).bernoulli_(kept)
        return x * mask.div_(kept)


def drop_path_rates(largest: float, depths: Sequence[int]) -> list[list[float]]:
    """The rate of every block, stage by stage: it grows linearly over all of them, from 0."""
    # On the CPU even where the network is laid out without memory.
    rates = torch.linspace(0, largest, sum(depths), device="cpu")
    return [stage.tolist() for stage in rates.split(list(depths))]


class Mlp(nn.Module):
    """Two linear layers with GELU between them; (..., channels) to the same."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, hidden)
        self.fc2 = nn.Linear(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Values (..., channels) to (..., channels), each position alone."""
        return self.fc2(functional.gelu(self.fc1(x)))


def check_input(image: Tensor, first: nn.Module) -> None:
    """Refuses what is no batch (B, C, *size) for a network whose first convolution is given: an image for clips, say.

    Raises: UsageError.
    """
    weight: Any = first.weight
    if image.ndim != weight.ndim or image.shape[1] != weight.shape[1]:
        sizes = "height, width" if weight.ndim == 4 else "depth or frames, height, width"
        raise UsageError(
            f"the network takes (batch, {weight.shape[1]} channels, {sizes}), and the input has shape "
            f"{tuple(image.shape)}"
        )


def class_layer(channels: int, num_classes: int) -> nn.Module:
    """Features (B, channels) to logits (B, num_classes); of no classes the features themselves, for embeddings."""
    return nn.Linear(channels, num_classes) if num_classes else nn.Identity()


def narrowed(x: Tensor, weight: Tensor) -> Tensor:
    """Activations of any shape as a layer of such weights takes them; autocast sees to that itself.

    In a network made `.half()` or `.bfloat16()` they may be float32, as what the kernels give for float16 is.
    """
    return x if _is_autocast(x) else x.to(weight.dtype)


def normed(norm: nn.LayerNorm, x: Tensor) -> Tensor:
    """LayerNorm of activations (..., channels) that are wider than its parameters in a network of half precision.

    Taken in their width: before a norm they may exceed the range of float16.
    """
    if x.dtype == norm.weight.dtype or _is_autocast(x):
        return norm(x)
    weight, bias = norm.weight.to(x.dtype), norm.bias.to(x.dtype)
    return functional.layer_norm(x, norm.normalized_shape, weight, bias, norm.eps)


def _is_autocast(x: Tensor) -> bool:
    """Whether autocast is on where a tensor lies; there is none where a network is only laid out."""
    return not x.is_meta and torch.is_autocast_enabled(x.device.type)


class LayerNorm2d(nn.LayerNorm):
    """LayerNorm over the channels of a map (B, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W), normed at each position; (B, C, H, W)."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class SelfAttention(nn.Module):
    """Attention of every token to every other, in several heads; tokens (B, N, channels) in and out."""

    def __init__(self, channels: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens (B, N, channels) to (B, N, channels)."""
        q, k, v = self.qkv(x).unflatten(2, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        y = functional.scaled_dot_product_attention(q, k, v)  # (B, heads, N, channels / heads)
        return self.proj(y.transpose(1, 2).flatten(2))


def into_windows(x: Tensor, side: int) -> Tensor:
    """Maps (B, H, W, C), of multiples of `side`, to the tokens of their windows, (B * windows, side², C)."""
    windows = x.unflatten(1, (-1, side)).unflatten(3, (-1, side))  # (B, rows, side, columns, side, C)
    return windows.transpose(2, 3).flatten(3, 4).flatten(0, 2)


def from_windows(windows: Tensor, side: int, size: tuple[int, int]) -> Tensor:
    """Maps (B, H, W, C) of a size (H, W) from the tokens of their windows, (B * windows, side², C)."""
    rows, columns = (n // side for n in size)
    x = windows.unflatten(1, (side, side)).unflatten(0, (-1, rows, columns))
    return x.transpose(2, 3).flatten(3, 4).flatten(1, 2)
