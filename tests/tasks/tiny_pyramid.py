"""A backbone of a few hundred weights with four maps, drop path, and no norm that would look at the whole batch.

Run as a program it is `medssm` as typed, with that backbone among its models as "tiny-pyramid".
"""

from torch import Tensor, nn

from medssm.models import registry
from medssm.models.info import ImageInput, ModelInfo, Options
from medssm.models.layers import DropPath
from medssm.models.recompute import Recomputing
from medssm.models.variant import Variant


class TinyPyramid(Recomputing):
    """Four strided convolutions, the last three each with a residual one."""

    channels = (4, 6, 8, 10)
    strides = (4, 8, 16, 32)

    def __init__(self, options: Options) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 4, stride=4)
        self.stages = nn.ModuleList(nn.Conv2d(n, n + 2, 2, stride=2) for n in self.channels[:-1])
        self.blocks = nn.ModuleList(nn.Conv2d(n, n, 3, padding=1) for n in self.channels[1:])
        self.drop_path = DropPath(options.drop_path_rate or 0.0)
        self.head = None if options.features_only else nn.Linear(10, options.num_classes)

    def forward_features(self, image: Tensor) -> list[Tensor]:
        maps = [self.stem(image)]
        for stage, block in zip(self.stages, self.blocks, strict=True):
            x = stage(maps[-1].tanh())
            maps.append(x + self.drop_path(self.run(block, x)))
        return maps

    def forward(self, image: Tensor) -> Tensor | list[Tensor]:
        maps = self.forward_features(image)
        return maps if self.head is None else self.head(maps[-1].mean((2, 3)))


TINY = ModelInfo(
    name="tiny-pyramid",
    title="for tests",
    system="tests",
    task="classification",
    input_size=(32, 32),
    patch_size=(1, 1),
    input=ImageInput(),
    in_channels=3,
    num_classes=10,
    stem_entry="stem.weight",
    head_entry="head.bias",
    variant=lambda: Variant(TinyPyramid),
)

# What makes coco a recipe for it.
SMALL_HEAD = {
    "neck_channels": 8,
    "box_channels": 8,
    "box_features": 16,
    "mask_convs": 1,
    "anchor_scale": 4,
    "training_proposals.per_level": 40,
    "training_proposals.per_image": 40,
    "test_proposals.per_level": 20,
    "test_proposals.per_image": 20,
    "anchor_sampling.count": 32,
    "roi_sampling.count": 16,
}

if __name__ == "__main__":
    from medssm.cli.main import main

    registry._MODELS[TINY.name] = TINY
    main()
