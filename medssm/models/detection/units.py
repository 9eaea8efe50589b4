"""The convolution that necks and heads are built of."""

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

from medssm.models.synchronised import SynchronisedBatchNorm2d

Norm = Literal["batch", "group", "none"]


class ConvUnit(nn.Module):
    """Convolution, norm if there is one, and ReLU if asked for.

    Under a norm the convolution has no bias. Entries are those of MMCV's ConvModule.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        kernel_size: int,
        *,
        norm: Norm = "none",
        groups: int = 1,
        has_relu: bool = True,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, channels, kernel_size, padding=kernel_size // 2, bias=norm == "none")
        if norm == "batch":
            self.bn = SynchronisedBatchNorm2d(channels)
        elif norm == "group":
            self.gn = nn.GroupNorm(groups, channels)
        self.norm_name = {"batch": "bn", "group": "gn", "none": ""}[norm]
        self.has_relu = has_relu
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="relu")
        zero_bias(self.conv)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, H, W) to (B, channels, H, W)."""
        x = self.conv(x)
        if self.norm_name:
            x = self.get_submodule(self.norm_name)(x)
        return functional.relu(x) if self.has_relu else x


def zero_bias(layer: nn.Conv2d | nn.ConvTranspose2d | nn.Linear) -> None:
    """Starts a layer without a shift."""
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
