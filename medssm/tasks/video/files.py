"""Video files as inputs of a network."""

from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from medssm.data.clips.names import is_video_name
from medssm.data.clips.views import crops, read_clips, segment_frames, strided_frames
from medssm.data.images.names import is_image_name
from medssm.data.transforms.strips import middle_strip
from medssm.errors import DataError
from medssm.models.info import ClipInput


class VideoFiles:
    """Videos."""

    kind = "video"

    def takes(self, path: Path) -> bool:
        return is_video_name(path.name)


class ClipViews(VideoFiles):
    """Clips of a video, (views, 3, T, H, W) uint8: all crops of one view in time after those of the other.

    Args:
        size: (T, H, W) of an input.
    """

    def __init__(self, settings: ClipInput, size: tuple[int, ...]) -> None:
        frames, height, width = size
        self.at_once = settings.crops
        self.choose = (
            partial(strided_frames, frames=frames, stride=settings.frame_stride, views=settings.views)
            if settings.sampling == "strided"
            else partial(segment_frames, frames=frames, views=settings.views)
        )
        self.crop = partial(middle_crops, short_side=settings.short_side, size=(height, width), count=settings.crops)
        self.mean, self.std = (torch.tensor(colour).view(3, 1, 1, 1) for colour in (settings.mean, settings.std))

    def read(self, path: Path) -> Tensor:
        """Clips (views, 3, T, H, W) uint8.

        Raises: DataError for an image, or what is no readable video.
        """
        if is_image_name(path.name) and not self.takes(path):
            raise DataError(
                f"{path}: is an image, and the weights are of a model for video; give those of another model"
            )
        return torch.cat(read_clips(path, self.choose, self.crop))

    def normalised(self, clips: Tensor) -> Tensor:
        """Clips (..., 3, T, H, W) uint8 as the network takes them."""
        mean, std = (colour.to(clips.device) for colour in (self.mean, self.std))
        return (clips.float() / 255 - mean) / std


def middle_crops(frame: Tensor, short_side: int, size: tuple[int, int], count: int) -> Tensor:
    """The `crops` of a frame (3, H, W) uint8, (count, 3, h, w); of a long and narrow one those of its middle."""
    rows, columns = middle_strip(*frame.shape[1:])
    return crops(frame[:, rows, columns], short_side, size, count)
