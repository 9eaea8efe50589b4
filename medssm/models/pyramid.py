"""Four maps at strides 4, 8, 16 and 32 from what any backbone for images gives."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import log2

from torch import Tensor, nn
from torch.nn import functional

from medssm.errors import UsageError
from medssm.models.layers import LayerNorm2d

STRIDES = (4, 8, 16, 32)
NORM_EPS = 1e-6


class Pyramid(nn.Module):
    """Maps (B, channels, H, W) of a backbone to the four that heads need, from the finest to the coarsest.

    A map that a backbone has goes through as it is, so that this has no entries under a backbone of four stages. Ours,
    after ViTDet's simple feature pyramid (Li et al. 2022, arXiv:2203.16527), for backbones of fewer: a finer map is
    made of the finest by transposed convolutions of 2x2 with stride 2 that halve the channels, with a norm and GELU
    between two, a coarser one of the coarsest by taking the largest of 2x2 cells.

    Attributes:
        channels: of the four maps.

    Raises: UsageError on strides that are no neighbouring powers of two, or where none is one of the four.
    """

    def __init__(self, channels: Sequence[int], strides: Sequence[int]) -> None:
        super().__init__()
        self.given = _checked(channels, strides)
        widths = dict(zip(strides, channels, strict=True))
        finest, coarsest = strides[0], strides[-1]
        self.channels = tuple(
            widths[coarsest] if stride > coarsest else widths.get(stride, widths[finest] * stride // finest)
            for stride in STRIDES
        )
        self.finer = nn.ModuleDict({str(n): _upsampling(widths[finest], finest // n) for n in STRIDES if n < finest})

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """The four maps, (B, C, H, W) each.

        Raises: UsageError on maps of volumes or clips.
        """
        if maps[0].ndim != 4:
            raise UsageError(
                f"this head takes maps of images, (B, C, H, W), but the backbone gives {maps[0].ndim} axes; "
                "choose a backbone for images (`medssm models` lists them)"
            )
        levels = dict(zip(self.given, maps, strict=True))
        return [self._level(stride, levels) for stride in STRIDES]

    def _level(self, stride: int, levels: Mapping[int, Tensor]) -> Tensor:
        finest, coarsest = self.given[0], self.given[-1]
        if stride < finest:
            return self.finer[str(stride)](levels[finest])
        if stride <= coarsest:
            return levels[stride]
        return functional.max_pool2d(levels[coarsest], stride // coarsest, ceil_mode=True)


def _checked(channels: Sequence[int], strides: Sequence[int]) -> tuple[int, ...]:
    neighbours = all(coarse == 2 * fine for fine, coarse in pairwise(strides))
    powers = all(stride > 0 and log2(stride).is_integer() for stride in strides)
    if len(channels) != len(strides) or not (neighbours and powers and set(strides) & set(STRIDES)):
        raise UsageError(
            f"a head needs maps at strides {STRIDES}, or some of them that follow one another, but the backbone gives "
            f"strides {tuple(strides)} with {tuple(channels)} channels; choose a backbone whose stages halve the size"
        )
    return tuple(strides)


def _upsampling(channels: int, factor: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    while factor > 1:
        if layers:
            layers += [LayerNorm2d(channels, NORM_EPS), nn.GELU()]
        layers.append(nn.ConvTranspose2d(channels, channels // 2, 2, stride=2))
        channels, factor = channels // 2, factor // 2
    return nn.Sequential(*layers)
