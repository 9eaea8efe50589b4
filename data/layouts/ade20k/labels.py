"""Label maps as files, and as training wants them.

In a file 0 is everything that has no class, and the classes count from 1. In memory they count from 0, and IGNORED is
what has none. That is what MMSegmentation calls `reduce_zero_label`.
"""

from pathlib import Path

import numpy as np

from medssm.data.images.labels import IGNORED
from medssm.data.images.reading import opened_image
from medssm.errors import DataError

# How Pillow calls pixels that are numbers: grey of 8, 16 or 32 bits, or places in a palette.
_NUMBERS = ("L", "P", "I", "I;16", "1")


def read_numbers(path: Path) -> np.ndarray:
    """The numbers of a label map as they are in the file, (H, W).

    Raises: DataError if there is no image, it is damaged, or it holds colours.
    """
    with opened_image(path) as image:
        if image.mode not in _NUMBERS:
            raise DataError(
                f"{path}: holds colours ({image.mode}), no label numbers; write it as a grey or palette PNG whose "
                "pixels are 0 for other and 1, 2, ... for the classes"
            )
        return np.array(image)


def read_scene_labels(path: Path, num_classes: int) -> np.ndarray:
    """The classes of a label map, (H, W) uint8: 0 ... num_classes - 1, or IGNORED.

    Raises: DataError as `read_numbers`, and if a number is of no class.
    """
    return as_classes(path, read_numbers(path), num_classes)


def as_classes(path: Path, numbers: np.ndarray, num_classes: int) -> np.ndarray:
    """The same, (H, W), of the numbers (H, W) that `read_numbers` gave."""
    if strange := strange_numbers(numbers, num_classes):
        raise DataError(
            f"{path}: holds label {strange[0]}, but the classes are 1 to {num_classes} and 0 is other; correct the "
            "label map, or name all classes (medssm data check lists such files)"
        )
    return np.where((numbers == 0) | (numbers == IGNORED), IGNORED, numbers.astype(np.int32) - 1).astype(np.uint8)


def as_numbers(labels: np.ndarray) -> np.ndarray:
    """What a file holds for classes (H, W) uint8, the way back.

    >>> as_numbers(np.array([[0, 149, 255]], np.uint8)).tolist()
    [[1, 150, 0]]
    """
    return labels + np.uint8(1)  # IGNORED goes round to 0


def strange_numbers(numbers: np.ndarray, num_classes: int) -> list[int]:
    """The numbers of a file, (H, W), that are neither a class, nor 0, nor IGNORED."""
    return [int(number) for number in np.unique(numbers) if not 0 <= number <= num_classes and number != IGNORED]
