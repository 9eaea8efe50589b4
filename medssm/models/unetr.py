"""The UNETR assembly: a token encoder, a pyramid of skip connections and a convolutional decoder.

UNETR: Transformers for 3D Medical Image Segmentation, Hatamizadeh et al. 2022, arXiv:2103.10504, figure 2.
The parameters live in MONAI's blocks, so that names agree with published weights; the arithmetic is that of
medssm.kernels. Tensors are (B, C, D, H, W).
"""

import math

import torch
from monai.networks.blocks.dynunet_block import UnetOutBlock, UnetResBlock
from monai.networks.blocks.unetr_block import UnetrBasicBlock, UnetrPrUpBlock, UnetrUpBlock
from torch import Tensor, nn

from medssm.kernels import conv3d, conv_transpose3d, instance_norm
from medssm.models.recompute import Recomputing

NEGATIVE_SLOPE = 0.01
HEAD_SCALE = 10.0


class ImageBlock(UnetrBasicBlock):
    """Residual block on the image itself: the finest level of the pyramid."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__(3, in_channels, out_channels, 3, stride, "instance", res_block=True)

    def forward(self, image: Tensor) -> Tensor:
        return _residual(self.layer, image)


class TokenBlock(UnetrPrUpBlock):
    """Token features on a finer grid: one up-convolution, then `depth` times an up-convolution and a residual block."""

    def __init__(self, in_channels: int, out_channels: int, depth: int) -> None:
        super().__init__(3, in_channels, out_channels, depth, 3, 1, 2, "instance", conv_block=True, res_block=True)

    def forward(self, x: Tensor) -> Tensor:
        x = _up(self.transp_conv_init, x)
        for stage in self.get_submodule("blocks").children():
            up, block = stage.children()
            x = _residual(block, _up(up, x))
        return x


class UpBlock(UnetrUpBlock):
    """One step of the decoder: up-convolution, concatenation with the skip, residual block."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(3, in_channels, out_channels, 3, 2, "instance", res_block=True)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        return _residual(self.conv_block, _up(self.transp_conv, x), skip)


class OutBlock(UnetOutBlock):
    """Logits at the resolution of the features."""

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__(3, in_channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return conv3d(x, self.conv.conv.weight, self.conv.conv.bias)


class UpOutBlock(nn.Module):
    """Logits at twice the resolution of the features, by one transposed convolution.

    Its weights start HEAD_SCALE times smaller and its output is scaled up again: the logits start alike, but a
    step of Adam moves them ten times further (mean Dice 0.72 against 0.69 after 300 steps on synthetic abdomens).
    """

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose3d(in_channels, num_classes, 2, stride=2)
        with torch.no_grad():
            for parameter in self.conv.parameters():
                parameter.div_(HEAD_SCALE)

    def forward(self, x: Tensor) -> Tensor:
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
        pyramid = self.forward_features(image)
        return pyramid if self.features_only else self.decode(pyramid)

    def forward_features(self, image: Tensor) -> list[Tensor]:
        """The pyramid, from the finest level to the encoder's final tokens."""
        *tapped, last = self.vit(image)
        pyramid = [self._run("encoder1", image)]
        pyramid += [self._run(f"encoder{level}", tokens) for level, tokens in enumerate(tapped, start=2)]
        return [*pyramid, last]

    def decode(self, pyramid: list[Tensor]) -> Tensor:
        """Logits from the pyramid."""
        *skips, x = pyramid
        for level in reversed(range(len(skips))):
            x = self._run(f"decoder{level + 2}", x, skips[level])
        return self.out(x)

    def _run(self, name: str, *inputs: Tensor) -> Tensor:
        return self.run(self.get_submodule(name), *inputs)


def _residual(block: nn.Module, *parts: Tensor) -> Tensor:
    """What a UnetResBlock computes from `parts` concatenated; several parts always change the number of channels."""
    assert isinstance(block, UnetResBlock)
    y = instance_norm(_convolve(block.conv1, *parts), negative_slope=NEGATIVE_SLOPE, inplace=True)
    y = _convolve(block.conv2, y)
    residual = instance_norm(_convolve(block.conv3, *parts), inplace=True) if block.downsample else parts[0]
    return instance_norm(y, residual=residual, negative_slope=NEGATIVE_SLOPE, inplace=True)


def _convolve(layer: nn.Module, *parts: Tensor) -> Tensor:
    """The kernels know stride 1; the only layers of another stride, on the image, are torch's."""
    convolution = layer.get_submodule("conv")
    assert isinstance(convolution, nn.Conv3d)
    if convolution.stride == (1, 1, 1):
        return conv3d(parts, convolution.weight)
    return convolution(*parts)


def _up(layer: nn.Module, x: Tensor) -> Tensor:
    return conv_transpose3d(x, layer.get_parameter("conv.weight"))
