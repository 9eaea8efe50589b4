"""Feature pyramid network: what the stages of a backbone see, at one width and five strides.

Lin et al., CVPR 2017, arXiv:1612.03144.
"""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from medssm.models.detection.settings import DetectorSettings
from medssm.models.detection.units import ConvUnit, Norm


class FeaturePyramid(nn.Module):
    """Four maps (B, channels, H, W), from the finest, to five of `neck_channels`; nothing is rectified."""

    def __init__(self, channels: Sequence[int], settings: DetectorSettings) -> None:
        super().__init__()
        width, groups = settings.neck_channels, settings.neck_groups

        def unit(in_channels: int, kernel_size: int) -> ConvUnit:
            norm: Norm = "group" if groups else "none"
            made = ConvUnit(in_channels, width, kernel_size, norm=norm, groups=groups, has_relu=False)
            nn.init.xavier_uniform_(made.conv.weight)
            return made

        self.lateral_convs = nn.ModuleList(unit(in_channels, 1) for in_channels in channels)
        self.fpn_convs = nn.ModuleList(unit(width, 3) for _ in channels)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Five levels (B, neck_channels, H, W), the last of every second cell of the one before."""
        laterals = [lateral(x) for lateral, x in zip(self.lateral_convs, maps, strict=True)]
        for level in reversed(range(len(laterals) - 1)):
            finer = laterals[level]
            laterals[level] = finer + functional.interpolate(laterals[level + 1], finer.shape[-2:], mode="nearest")
        pyramid = [convolve(x) for convolve, x in zip(self.fpn_convs, laterals, strict=True)]
        return [*pyramid, pyramid[-1][:, :, ::2, ::2]]
