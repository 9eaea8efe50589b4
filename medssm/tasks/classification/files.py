"""Image files as inputs of a network."""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from torch import Tensor

from medssm.data.transforms.images import evaluation_transform
from medssm.data.transforms.strips import middle_strip
from medssm.models.info import ImageInput
from medssm.tasks.files import Photographs, read_photograph

# The transform is a function that no process can hand to another: each makes its own, once.
_transform: Callable[..., Callable[[Any], Tensor]] = lru_cache(evaluation_transform)


class ImageViews(Photographs):
    """An image's middle, (1, 3, H, W) float32.

    Args:
        size: (H, W).
    """

    at_once = 1

    def __init__(self, settings: ImageInput, size: tuple[int, ...]) -> None:
        self.settings, self.size = settings, size

    def read(self, path: Path) -> Tensor:
        """The image's middle, (1, 3, H, W); of one that is squashed, all but of a long and narrow one.

        Raises: DataError for a video, or what is no readable image.
        """
        given, (height, width) = self.settings, self.size
        prepare = _transform(
            (height, width), given.crop_pct, given.crop_mode, given.interpolation, given.mean, given.std
        )
        photograph = read_photograph(path)
        rows, columns = middle_strip(photograph.height, photograph.width)
        return prepare(photograph.crop((columns.start, rows.start, columns.stop, rows.stop)))[None]

    def normalised(self, views: Tensor) -> Tensor:
        """Views (..., 3, H, W) as they are: the transform has normalised them."""
        return views
