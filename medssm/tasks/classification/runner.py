"""An image in, classes with their probabilities out."""

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from medssm.checkpoints import WeightsMetadata
from medssm.data.transforms.images import evaluation_transform
from medssm.models.info import ImageInput
from medssm.tasks.classifier import Classifier
from medssm.tasks.files import Photographs, read_photograph
from medssm.tasks.names import class_names
from medssm.tasks.runner import input_fields


class ImageViews(Photographs):
    """An image's middle, (1, 3, H, W)."""

    def __init__(self, settings: ImageInput, size: tuple[int, ...]) -> None:
        height, width = size
        self.transform = evaluation_transform(
            (height, width),
            settings.crop_pct,
            settings.crop_mode,
            settings.interpolation,
            settings.mean,
            settings.std,
        )

    def of(self, path: Path) -> Iterator[Tensor]:
        yield self.transform(read_photograph(path))[None]


def image_classifier(
    network: nn.Module, metadata: WeightsMetadata, device: str | torch.device | None = None, precision: str = "32-true"
) -> Classifier:
    """The classifier of a network for images and the metadata of its weights."""
    views = ImageViews(ImageInput(**input_fields(metadata)), metadata.input_size)
    return Classifier(network, metadata.model, views, class_names(metadata), device, precision)
