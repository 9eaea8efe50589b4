"""The UNETR assembly: a token encoder, a pyramid of skip connections and a convolutional decoder.

UNETR: Transformers for 3D Medical Image Segmentation, Hatamizadeh et al. 2022, arXiv:2103.10504, figure 2.
Entries have the names of MONAI's blocks, so that published weights fit; the arithmetic is that of medssm.kernels.
Tensors are (B, C, D, H, W).
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn

from medssm.kernels import conv3d, conv_transpose3d, instance_norm
from medssm.models.recompute import Recomputing

NEGATIVE_SLOPE = 0.01
HEAD_SCALE = 10.0

Sides = tuple[int, ...]  # a number for each of D, H and W
_conv3d: Any = nn.Conv3d  # whose annotations know no such tuple
_conv_transpose3d: Any = nn.ConvTranspose3d


def halvings(patch: Sides, finest_stride: int) -> tuple[Sides, list[Sides]]:
    """The stride of the finest level of the pyramid, and the factors from each level to the next coarser one.

    Where a patch has fewer voxels along an axis, as slices are thick there, the axis is halved less often, at the
    coarse levels only: the finer ones bring the others to its spacing first, as nnU-Net does (Isensee et al. 2021,
    supplementary note 2).

    Args:
        patch: powers of two. finest_stride: along the longest axes of the patch.

    >>> halvings((16, 16, 16), 1)
    ((1, 1, 1), [(2, 2, 2), (2, 2, 2), (2, 2, 2), (2, 2, 2)])
    >>> halvings((4, 8, 8), 2)
    ((1, 2, 2), [(2, 2, 2), (2, 2, 2)])
    >>> halvings((2, 8, 8), 1)
    ((1, 1, 1), [(1, 2, 2), (1, 2, 2), (2, 2, 2)])
    """
    finest = tuple(max(finest_stride * side // max(patch), 1) for side in patch)
    counts = [(side // stride).bit_length() - 1 for side, stride in zip(patch, finest, strict=True)]
    levels = max(counts)
    return finest, [tuple(2 if level >= levels - count else 1 for count in counts) for level in range(levels)]


class Convolution(nn.Module):
    """A convolution under the name that MONAI's wrapper gives it, of several tensors taken as one along C."""

    def __init__(self, conv: nn.Conv3d) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, *parts: Tensor) -> Tensor:
        """Features (B, out_channels, D, H, W) of one or several (B, C, D, H, W).

        The kernels know stride 1; the only layers of another stride, on the image, are torch's.
        """
        if self.conv.stride == (1, 1, 1):
            return conv3d(parts, self.conv.weight, self.conv.bias)
        return self.conv(*parts)


class UpConvolution(nn.Module):
    """Transposed convolution to a finer grid, each axis by 1 or 2, under the name that MONAI's wrapper gives it."""

    def __init__(self, in_channels: int, out_channels: int, factors: Sides) -> None:
        super().__init__()
        self.conv = _conv_transpose3d(in_channels, out_channels, factors, stride=factors, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Features (B, in_channels, D, H, W) to (B, out_channels, factors * (D, H, W))."""
        return conv_transpose3d(x, self.conv.weight)


class ResidualBlock(nn.Module):
    """Two convolutions of 3x3x3, each with an instance norm, added to the input, and leaky ReLU.

    Where channels or resolution change, the input is added through a convolution of 1x1x1 and a norm.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: Sides = (1, 1, 1)) -> None:
        super().__init__()
        self.conv1 = Convolution(_conv3d(in_channels, out_channels, 3, stride, padding=1, bias=False))
        self.conv2 = Convolution(_conv3d(out_channels, out_channels, 3, padding=1, bias=False))
        changes = in_channels != out_channels or max(stride) > 1
        self.conv3 = Convolution(_conv3d(in_channels, out_channels, 1, stride, bias=False)) if changes else None

    def forward(self, *parts: Tensor) -> Tensor:
        """Features (B, out_channels, ...) of `parts` concatenated; several parts always change the channels."""
        y = instance_norm(self.conv1(*parts), negative_slope=NEGATIVE_SLOPE, inplace=True)
        y = self.conv2(y)
        residual = instance_norm(self.conv3(*parts), inplace=True) if self.conv3 else parts[0]
        return instance_norm(y, residual=residual, negative_slope=NEGATIVE_SLOPE, inplace=True)


class ImageBlock(nn.Module):
    """Residual block on the image itself: the finest level of the pyramid."""

    def __init__(self, in_channels: int, out_channels: int, stride: Sides) -> None:
        super().__init__()
        self.layer = ResidualBlock(in_channels, out_channels, stride)

    def forward(self, image: Tensor) -> Tensor:
        """Image (B, in_channels, D, H, W) to features (B, out_channels, (D, H, W) / stride)."""
        return self.layer(image)


class TokenBlock(nn.Module):
    """Token features on a finer grid: one up-convolution, then as often an up-convolution and a residual block.

    Args:
        factors: of each up-convolution, from the coarsest grid on.
    """

    def __init__(self, in_channels: int, out_channels: int, factors: Sequence[Sides]) -> None:
        super().__init__()
        self.transp_conv_init = UpConvolution(in_channels, out_channels, factors[0])
        stages = (
            nn.Sequential(UpConvolution(out_channels, out_channels, each), ResidualBlock(out_channels, out_channels))
            for each in factors[1:]
        )
        self.blocks = nn.ModuleList(stages)

    def forward(self, x: Tensor) -> Tensor:
        """Features (B, in_channels, D, H, W) to (B, out_channels, ...), each side as much longer as the factors say."""
        x = self.transp_conv_init(x)
        for stage in self.blocks:
            x = stage(x)
        return x


class UpBlock(nn.Module):
    """One step of the decoder: up-convolution, concatenation with the skip, residual block."""

    def __init__(self, in_channels: int, out_channels: int, factors: Sides) -> None:
        super().__init__()
        self.transp_conv = UpConvolution(in_channels, out_channels, factors)
        self.conv_block = ResidualBlock(2 * out_channels, out_channels)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Features (B, in_channels, D, H, W) to the size and channels of the skip, (B, out_channels, ...)."""
        return self.conv_block(self.transp_conv(x), skip)


class OutBlock(nn.Module):
    """Logits at the resolution of the features."""

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.conv = Convolution(_conv3d(in_channels, num_classes, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, num_classes, D, H, W) of features (B, in_channels, D, H, W)."""
        return self.conv(x)


class UpOutBlock(nn.Module):
    """Logits at a finer resolution than the features', each axis by 1 or 2, by one transposed convolution.

    Its weights start HEAD_SCALE times smaller and its output is scaled up again: the logits start alike, but a
    step of Adam moves them ten times further (mean Dice 0.72 against 0.69 after 300 steps on synthetic abdomens).
    """

    def __init__(self, in_channels: int, num_classes: int, factors: Sides) -> None:
        super().__init__()
        self.conv = _conv_transpose3d(in_channels, num_classes, factors, stride=factors)
        if not self.conv.weight.is_meta:  # no values there, and torch would import its compiler to divide them
            with torch.no_grad():
                for parameter in self.conv.parameters():
                    parameter.div_(HEAD_SCALE)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, num_classes, factors * (D, H, W)) of features (B, in_channels, D, H, W)."""
        return HEAD_SCALE * conv_transpose3d(x, self.conv.weight, self.conv.bias)


class UNETR(Recomputing):
    """Segmentation network: image (B, in_channels, D, H, W) to logits (B, num_classes, D, H, W).

    The pyramid is the image at `finest_stride`, then one level for each further halving, made from tokens of a middle
    depth, and last the encoder's final tokens. The decoder climbs it from the tokens up. `halvings` says which axes
    are halved from level to level.

    Args:
        encoder: gives, for an image, one grid (B, d_model, (D, H, W) / patch) for each level but the finest.
        patch: sides of the encoder's patch, powers of two.
        feature_size: channels of the finest level; each coarser one has twice as many.
        finest_stride: stride of the finest level along the longest axes of the patch; with 2 the logits come from it
            by a transposed convolution.
        features_only: the network ends with the pyramid, a list from the finest to the coarsest, and has no decoder.

    Attributes:
        channels, strides: of the pyramid, from the finest to the coarsest; strides along (D, H, W).
    """

    def __init__(
        self,
        encoder: nn.Module,
        *,
        d_model: int,
        patch: Sides,
        in_channels: int,
        num_classes: int,
        feature_size: int,
        finest_stride: int = 1,
        features_only: bool = False,
    ) -> None:
        super().__init__()
        finest, factors = halvings(patch, finest_stride)
        levels = len(factors)
        widths = [feature_size * 2**level for level in range(levels)]
        self.channels = (*widths, d_model)
        self.strides = tuple(accumulate((finest, *factors), _times))
        self.features_only = features_only
        self.vit = encoder
        # The names count from 1 and the decoder's from 2, as in the original: decoderK ends where encoder(K - 1) lies.
        self.encoder1 = ImageBlock(in_channels, feature_size, finest)
        for level in range(1, levels):
            self.add_module(f"encoder{level + 1}", TokenBlock(d_model, widths[level], factors[: level - 1 : -1]))
        if features_only:
            return
        for level in reversed(range(levels)):
            self.add_module(f"decoder{level + 2}", UpBlock(self.channels[level + 1], widths[level], factors[level]))
        is_full = max(finest) == 1
        self.out = OutBlock(feature_size, num_classes) if is_full else UpOutBlock(feature_size, num_classes, finest)

    def forward(self, image: Tensor) -> Tensor | list[Tensor]:
        """Logits (B, num_classes, D, H, W), or the pyramid of `forward_features` with `features_only`."""
        pyramid = self.forward_features(image)
        return pyramid if self.features_only else self.decode(pyramid)

    def forward_features(self, image: Tensor) -> list[Tensor]:
        """The pyramid, (B, C, D, H, W) each, from the finest level to the encoder's final tokens."""
        *tapped, last = self.vit(image)
        pyramid = [self._run("encoder1", image)]
        pyramid += [self._run(f"encoder{level}", tokens) for level, tokens in enumerate(tapped, start=2)]
        return [*pyramid, last]

    def decode(self, pyramid: list[Tensor]) -> Tensor:
        """Logits (B, num_classes, D, H, W) from the pyramid."""
        *skips, x = pyramid
        for level in reversed(range(len(skips))):
            x = self._run(f"decoder{level + 2}", x, skips[level])
        return self.out(x)

    def _run(self, name: str, *inputs: Tensor) -> Tensor:
        return self.run(self.get_submodule(name), *inputs)


def _times(stride: Sides, factors: Sides) -> Sides:
    return tuple(n * factor for n, factor in zip(stride, factors, strict=True))
