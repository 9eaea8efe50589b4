"""A classifier of a few thousand weights with BatchNorm, drop path and dropout, and one with a second head."""

from functools import partial

from torch import Tensor, nn

from medssm.models.info import ImageInput, ModelInfo, Options
from medssm.models.layers import DropPath
from medssm.models.recompute import Recomputing
from medssm.models.variant import Variant


class Tiny(Recomputing):
    """Two strided convolutions and a residual block, mean, dropout, linear."""

    channels, strides = (16,), (4,)

    def __init__(self, options: Options, is_distilled: bool) -> None:
        super().__init__()
        self.stem = nn.Sequential(*_block(3, 16), *_block(16, 16))
        self.block = nn.Sequential(nn.Conv2d(16, 16, 3, padding=1), nn.BatchNorm2d(16), nn.GELU())
        self.drop_path = DropPath(options.drop_path_rate or 0.0)
        self.dropout = nn.Dropout(options.dropout_rate or 0.0)
        self.head = nn.Linear(16, options.num_classes)
        self.dist_head = nn.Linear(16, options.num_classes) if is_distilled else None

    def forward_features(self, image: Tensor) -> list[Tensor]:
        x = self.stem(image)
        return [x + self.drop_path(self.run(self.block, x))]

    def forward(self, image: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        x = self.dropout(self.forward_features(image)[0].mean((2, 3)))
        if self.dist_head is None:
            return self.head(x)
        if self.training:
            return self.head(x), self.dist_head(x)
        return (self.head(x) + self.dist_head(x)) / 2


def _block(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 3, 2, 1, bias=False), nn.BatchNorm2d(outputs), nn.GELU()]


def tiny_info(name: str, is_distilled: bool) -> ModelInfo:
    """The entry of the model table."""
    return ModelInfo(
        name=name,
        title="for tests",
        system="tests",
        task="classification",
        input_size=(32, 32),
        patch_size=(1, 1),
        input=ImageInput(),
        in_channels=3,
        num_classes=1000,
        stem_entry="stem.0.weight",
        head_entry="head.bias",
        variant=lambda: Variant(partial(Tiny, is_distilled=is_distilled)),
    )
