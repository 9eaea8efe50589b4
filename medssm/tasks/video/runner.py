"""A video in, classes with their probabilities out."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from medssm.checkpoints import WeightsMetadata
from medssm.data.clips.names import is_video_name
from medssm.data.clips.views import crops, read_clips, segment_frames, strided_frames
from medssm.data.images.names import is_image_name
from medssm.errors import DataError
from medssm.models.info import ClipInput
from medssm.tasks.classifier import Classifier
from medssm.tasks.names import class_names
from medssm.tasks.runner import input_fields


class ClipViews:
    """Clips of a video, (crops, 3, T, H, W), one view in time after the other."""

    kind = "video"

    def __init__(self, settings: ClipInput, size: tuple[int, ...]) -> None:
        frames, height, width = size
        self.choose = (
            partial(strided_frames, frames=frames, stride=settings.frame_stride, views=settings.views)
            if settings.sampling == "strided"
            else partial(segment_frames, frames=frames, views=settings.views)
        )
        self.crop = partial(crops, short_side=settings.short_side, size=(height, width), count=settings.crops)
        self.mean, self.std = (torch.tensor(colour).view(3, 1, 1, 1) for colour in (settings.mean, settings.std))

    def takes(self, path: Path) -> bool:
        return is_video_name(path.name)

    def of(self, path: Path) -> Iterator[Tensor]:
        yield from map(self.normalised, self.read(path))

    def read(self, path: Path) -> list[Tensor]:
        """The clips as they are stored, each (crops, 3, T, H, W) uint8; raises what `of` raises."""
        if is_image_name(path.name) and not self.takes(path):
            raise DataError(
                f"{path}: is an image, and the weights are of a model for video; give those of another model"
            )
        return read_clips(path, self.choose, self.crop)

    def normalised(self, clips: Tensor) -> Tensor:
        """Clips (..., 3, T, H, W) uint8 as the network takes them."""
        mean, std = (colour.to(clips.device) for colour in (self.mean, self.std))
        return (clips.float() / 255 - mean) / std


def video_classifier(
    network: nn.Module, metadata: WeightsMetadata, device: str | torch.device | None = None, precision: str = "32-true"
) -> Classifier:
    """The classifier of a network for clips and the metadata of its weights."""
    views = ClipViews(ClipInput(**input_fields(metadata)), metadata.input_size)
    return Classifier(network, metadata.model, views, class_names(metadata), device, precision)
