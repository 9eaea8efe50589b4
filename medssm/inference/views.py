"""What a classifier is shown of a file: the middle of an image, or clips of a video."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from medssm.data.clips import crops, read_clips, segment_frames, strided_frames
from medssm.data.imagenet.layout import is_image_name
from medssm.data.transforms.images import evaluation_transform
from medssm.data.video import is_video_name
from medssm.errors import DataError
from medssm.inference.files import FileKind, Photographs, read_photograph
from medssm.models.info import ClipInput, ImageInput


class Views(FileKind, Protocol):
    """How files become inputs of a network; `kind` says which files."""

    def of(self, path: Path) -> Iterator[Tensor]:
        """Batches of float32 inputs, over whose scores the mean is to be taken.

        Raises: DataError for a file that cannot be used; OSError.
        """


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
