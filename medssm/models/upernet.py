"""UPerNet: unified perceptual parsing, with an auxiliary fully convolutional head.

Xiao et al., ECCV 2018, arXiv:1807.10221, as MMSegmentation 1 has it with Swin's recipe, on which all published networks
here were trained. Images, maps and logits are (B, C, H, W); labels are (B, H, W).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from medssm.models.pyramid import Pyramid
from medssm.models.recompute import Recomputing
from medssm.models.synchronised import SynchronisedBatchNorm2d

POOLED_CELLS = (1, 2, 3, 6)
AUXILIARY_LEVEL = 2
AUXILIARY_WEIGHT = 0.4
DROPOUT_RATE = 0.1
IGNORED = 255


@dataclass(frozen=True)
class Widths:
    """Channels within the two heads."""

    channels: int = 512
    auxiliary_channels: int = 256


UPERNET = Widths()


class ConvNormReLU(nn.Module):
    """Convolution, synchronised BatchNorm and ReLU."""

    def __init__(self, in_channels: int, channels: int, kernel_size: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, channels, kernel_size, padding=kernel_size // 2, bias=False)
        self.bn = SynchronisedBatchNorm2d(channels)
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, H, W) to (B, channels, H, W)."""
        return functional.relu(self.bn(self.conv(x)))


class PixelClassifier(nn.Module):
    """What every head ends with: dropout of whole channels and a linear layer at each position."""

    def __init__(self, channels: int, num_classes: int, dropout_rate: float) -> None:
        super().__init__()
        self.conv_seg = nn.Conv2d(channels, num_classes, 1)
        self.dropout = nn.Dropout2d(dropout_rate)
        nn.init.normal_(self.conv_seg.weight, std=0.01)
        assert self.conv_seg.bias is not None
        nn.init.zeros_(self.conv_seg.bias)

    def classify(self, x: Tensor) -> Tensor:
        """Logits (B, num_classes, H, W) of a map (B, channels, H, W)."""
        return self.conv_seg(self.dropout(x))


class UPerHead(PixelClassifier):
    """Pyramid pooling on the coarsest level, a feature pyramid on all: logits on the grid of the finest."""

    def __init__(self, channels: Sequence[int], num_classes: int, dropout_rate: float, width: int) -> None:
        super().__init__(width, num_classes, dropout_rate)
        *finer, coarsest = channels
        self.psp_modules = nn.ModuleList(
            nn.Sequential(nn.AdaptiveAvgPool2d(cells), ConvNormReLU(coarsest, width, 1)) for cells in POOLED_CELLS
        )
        self.bottleneck = ConvNormReLU(coarsest + len(POOLED_CELLS) * width, width, 3)
        self.lateral_convs = nn.ModuleList(ConvNormReLU(own, width, 1) for own in finer)
        self.fpn_convs = nn.ModuleList(ConvNormReLU(width, width, 3) for _ in finer)
        self.fpn_bottleneck = ConvNormReLU(len(channels) * width, width, 3)

    def forward(self, pyramid: Sequence[Tensor]) -> Tensor:
        """Logits (B, num_classes, H, W) on the grid of the first of the four maps."""
        *finer, coarsest = pyramid
        laterals = [lateral(x) for lateral, x in zip(self.lateral_convs, finer, strict=True)]
        laterals.append(self._pooled(coarsest))
        for level in reversed(range(len(finer))):
            laterals[level] = laterals[level] + _resized(laterals[level + 1], laterals[level])
        maps = [convolve(x) for convolve, x in zip(self.fpn_convs, laterals[:-1], strict=True)]
        maps.append(laterals[-1])
        maps = [_resized(x, maps[0]) for x in maps]
        return self.classify(self.fpn_bottleneck(torch.cat(maps, dim=1)))

    def _pooled(self, x: Tensor) -> Tensor:
        pools = [_resized(pool(x), x) for pool in self.psp_modules]
        return self.bottleneck(torch.cat([x, *pools], dim=1))


class FCNHead(PixelClassifier):
    """One convolution on one level of the pyramid: logits on its grid."""

    def __init__(self, channels: int, num_classes: int, dropout_rate: float, width: int) -> None:
        super().__init__(width, num_classes, dropout_rate)
        self.convs = nn.Sequential(ConvNormReLU(channels, width, 3))

    def forward(self, pyramid: Sequence[Tensor]) -> Tensor:
        """Logits (B, num_classes, H, W) on the grid of the third of the four maps."""
        return self.classify(self.convs(pyramid[AUXILIARY_LEVEL]))


class UPerNet(Recomputing):
    """Image (B, C, H, W) of any size to logits (B, num_classes, H, W); in training those of both heads, as a pair.

    Args:
        backbone: gives maps of `channels` at `strides`.
        dropout_rate: of channels before the last layer of either head.

    Raises: UsageError if no four maps can be made of those.
    """

    def __init__(
        self, backbone: nn.Module, num_classes: int, dropout_rate: float = DROPOUT_RATE, widths: Widths = UPERNET
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.pyramid = Pyramid(cast(Sequence[int], backbone.channels), cast(Sequence[int], backbone.strides))
        channels = self.pyramid.channels
        self.decode_head = UPerHead(channels, num_classes, dropout_rate, widths.channels)
        auxiliary = widths.auxiliary_channels
        self.auxiliary_head = FCNHead(channels[AUXILIARY_LEVEL], num_classes, dropout_rate, auxiliary)

    def forward(self, image: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Logits (B, num_classes, H, W) at the size of the image; in training a pair, of both heads."""
        pyramid = self.pyramid(self.backbone(image))
        logits = _resized(self.decode_head(pyramid), image)
        return (logits, _resized(self.auxiliary_head(pyramid), image)) if self.training else logits

    def forward_heads(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of both heads on their own grids, (B, num_classes, H / 4, W / 4) and (..., H / 16, W / 16)."""
        pyramid = self.pyramid(self.backbone(image))
        return self.decode_head(pyramid), self.auxiliary_head(pyramid)


def upernet(
    backbone: nn.Module, num_classes: int, dropout_rate: float | None = None, widths: Widths = UPERNET
) -> UPerNet:
    """UPerNet on a backbone, with the published rate of dropout where none is given.

    Raises: UsageError if no four maps can be made of the backbone's.
    """
    return UPerNet(backbone, num_classes, DROPOUT_RATE if dropout_rate is None else dropout_rate, widths)


def semantic_losses(
    logits: tuple[Tensor, Tensor],
    labels: Tensor,
    *,
    auxiliary_weight: float = AUXILIARY_WEIGHT,
    counts_ignored: bool = True,
) -> dict[str, Tensor]:
    """Cross-entropies of both heads, whose sum is to be minimised: "main" and, weighted, "auxiliary".

    Args:
        logits: (B, K, H, W) of the two heads, as the network gives them in training.
        labels: (B, H, W), int64; pixels of IGNORED count for nothing.
        counts_ignored: the sum is divided by the number of all pixels, of those ignored too, as MMSegmentation does
            (`avg_non_ignore=False`); else by that of the others.
    """
    main, auxiliary = (_cross_entropy(output, labels, counts_ignored) for output in logits)
    return {"main": main, "auxiliary": auxiliary_weight * auxiliary}


def _cross_entropy(logits: Tensor, labels: Tensor, counts_ignored: bool) -> Tensor:
    total = functional.cross_entropy(logits.float(), labels, ignore_index=IGNORED, reduction="sum")
    count = labels.numel() if counts_ignored else (labels != IGNORED).sum().clamp(min=1)
    return total / count


def _resized(x: Tensor, like: Tensor) -> Tensor:
    size = like.shape[2:]
    return x if x.shape[2:] == size else functional.interpolate(x, size, mode="bilinear", align_corners=False)
