"""The UNETR assembly: a token encoder, a pyramid of skip connections and a convolutional decoder.

UNETR: Transformers for 3D Medical Image Segmentation, Hatamizadeh et al. 2022, arXiv:2103.10504, figure 2.
Entries have the names of MONAI's blocks, so that published weights fit; the arithmetic is that of medssm.kernels.
Tensors are (B, C, D, H, W).
"""

import math

import torch
from torch import Tensor, nn

from medssm.kernels import conv3d, conv_transpose3d, instance_norm
from medssm.models.recompute import Recomputing

NEGATIVE_SLOPE = 0.01
HEAD_SCALE = 10.0


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
    """Transposed convolution to twice the resolution, under the name that MONAI's wrapper gives it."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose3d(in_channels, out_channels, 2, stride=2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Features (B, in_channels, D, H, W) to (B, out_channels, 2 * D, 2 * H, 2 * W)."""
        return conv_transpose3d(x, self.conv.weight)


class ResidualBlock(nn.Module):
    """Two convolutions of 3x3x3, each with an instance norm, added to the input, and leaky ReLU.

    Where channels or resolution change, the input is added through a convolution of 1x1x1 and a norm.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = Convolution(nn.Conv3d(in_channels, out_channels, 3, stride, padding=1, bias=False))
        self.conv2 = Convolution(nn.Conv3d(out_channels, out_channels, 3, padding=1, bias=False))
        changes = in_channels != out_channels or stride != 1
        self.conv3 = Convolution(nn.Conv3d(in_channels, out_channels, 1, stride, bias=False)) if changes else None

    def forward(self, *parts: Tensor) -> Tensor:
        """Features (B, out_channels, ...) of `parts` concatenated; several parts always change the channels."""
        y = instance_norm(self.conv1(*parts), negative_slope=NEGATIVE_SLOPE, inplace=True)
        y = self.conv2(y)
        residual = instance_norm(self.conv3(*parts), inplace=True) if self.conv3 else parts[0]
        return instance_norm(y, residual=residual, negative_slope=NEGATIVE_SLOPE, inplace=True)


class ImageBlock(nn.Module):
    """Residual block on the image itself: the finest level of the pyramid."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.layer = ResidualBlock(in_channels, out_channels, stride)

    def forward(self, image: Tensor) -> Tensor:
        """Image (B, in_channels, D, H, W) to features (B, out_channels, D / stride, H / stride, W / stride)."""
        return self.layer(image)


class TokenBlock(nn.Module):
    """Token features on a finer grid: one up-convolution, then `depth` times an up-convolution and a residual block."""

    def __init__(self, in_channels: int, out_channels: int, depth: int) -> None:
        super().__init__()
        self.transp_conv_init = UpConvolution(in_channels, out_channels)
        stages = (
            nn.Sequential(UpConvolution(out_channels, out_channels), ResidualBlock(out_channels, out_channels))
            for _ in range(depth)
        )
        self.blocks = nn.ModuleList(stages)

    def forward(self, x: Tensor) -> Tensor:
        """Features (B, in_channels, D, H, W) to (B, out_channels, ...), each side 2^(depth + 1) times as long."""
        x = self.transp_conv_init(x)
        for stage in self.blocks:
            x = stage(x)
        return x


class UpBlock(nn.Module):
    """One step of the decoder: up-convolution, concatenation with the skip, residual block."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.transp_conv = UpConvolution(in_channels, out_channels)
        self.conv_block = ResidualBlock(2 * out_channels, out_channels)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Features (B, in_channels, D, H, W) to the size and channels of the skip, (B, out_channels, ...)."""
        return self.conv_block(self.transp_conv(x), skip)


class OutBlock(nn.Module):
    """Logits at the resolution of the features."""

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.conv = Convolution(nn.Conv3d(in_channels, num_classes, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, num_classes, D, H, W) of features (B, in_channels, D, H, W)."""
        return self.conv(x)


class UpOutBlock(nn.Module):
    """Logits at twice the resolution of the features, by one transposed convolution.

    Its weights start HEAD_SCALE times smaller and its output is scaled up again: the logits start alike, but a
    step of Adam moves them ten times further (mean Dice 0.72 against 0.69 after 300 steps on synthetic abdomens).
    """

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose3d(in_channels, num_classes, 2, stride=2)
        if not self.conv.weight.is_meta:  # no values there, and torch would import its compiler to divide them
            with torch.no_grad():
                for parameter in self.conv.parameters():
                    parameter.div_(HEAD_SCALE)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, num_classes, 2 * D, 2 * H, 2 * W) of features (B, in_channels, D, H, W)."""
        return HEAD_SCALE * conv_transpose3d(x, self.conv.weight, self.conv.bias)


class UNETR(Recomputing):
    """Segmentation network: image (B, in_channels, D, H, W) to logits (B, num_classes, D, H, W).

    The pyramid is the image at `finest_stride`, then one level for each further halving, made from tokens of a middle
    depth, and last the encoder's final tokens. The decoder climbs it from the tokens up.

    Args:
        encoder: gives, for an image, one grid (B, d_model, D/patch, H/patch, W/patch) for each level but the finest.
        patch: side of the encoder's patch, a power of two.
        feature_size: channels of the finest level; each coarser one has twice as many.
        finest_stride: stride of the finest level; with 2 the logits come from it by a transposed convolution.
        features_only: the network ends with the pyramid, a list from the finest to the coarsest, and has no decoder.

    Attributes:
        channels, strides: of the pyramid, from the finest to the coarsest.
    """

    def __init__(
        self,
        encoder: nn.Module,
        *,
        d_model: int,
        patch: int,
        in_channels: int,
        num_classes: int,
        feature_size: int,
        finest_stride: int = 1,
        features_only: bool = False,
    ) -> None:
        super().__init__()
        levels = round(math.log2(patch / finest_stride))
        widths = [feature_size * 2**level for level in range(levels)]
        self.channels = (*widths, d_model)
        self.strides = tuple(finest_stride * 2**level for level in range(levels + 1))
        self.features_only = features_only
        self.vit = encoder
        # The names count from 1 and the decoder's from 2, as in the original: decoderK ends where encoder(K - 1) lies.
        self.encoder1 = ImageBlock(in_channels, feature_size, finest_stride)
        for level in range(1, levels):
            self.add_module(f"encoder{level + 1}", TokenBlock(d_model, widths[level], levels - 1 - level))
        if features_only:
            return
        for level in reversed(range(levels)):
            self.add_module(f"decoder{level + 2}", UpBlock(self.channels[level + 1], widths[level]))
        head = OutBlock if finest_stride == 1 else UpOutBlock
        self.out = head(feature_size, num_classes)

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
