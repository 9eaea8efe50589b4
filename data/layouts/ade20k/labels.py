"""Label maps as files, and as training wants them.

In a file 0 is everything that has no class, and the classes count from 1, unless the list of names says that they count
from 0. In memory they count from 0, and IGNORED is what has none. That is what MMSegmentation calls
`reduce_zero_label`.
"""

from collections.abc import Set
from pathlib import Path

import numpy as np

from medssm.data.images.labels import IGNORED
from medssm.data.images.reading import opened_image
from medssm.errors import DataError

# How Pillow calls pixels that are numbers: grey of 1 or 8 bits, or places in a palette; I begins those of 16 and 32.
_NUMBERS = ("1", "L", "P")


def read_numbers(path: Path) -> np.ndarray:
    """The numbers of a label map as they are in the file, (H, W).

    Raises: DataError if there is no image, it is damaged, or it holds colours.
    """
    with opened_image(path) as image:
        if image.mode not in _NUMBERS and not image.mode.startswith("I"):
            raise DataError(
                f"{path}: holds colours ({image.mode}), no label numbers; write it as a grey or palette PNG whose "
                "pixels are 0 for other and 1, 2, ... for the classes"
            )
        return np.array(image)


def read_scene_labels(path: Path, num_classes: int, first: int = 1) -> np.ndarray:
    """The classes of a label map, (H, W) uint8: 0 ... num_classes - 1, or IGNORED.

    Args:
        first: the label of the first class in the file, 0 or 1.

    Raises: DataError as `read_numbers`, and if a number is of no class.
    """
    return as_classes(path, read_numbers(path), num_classes, first)


def as_classes(path: Path, numbers: np.ndarray, num_classes: int, first: int = 1) -> np.ndarray:
    """The same, (H, W), of the numbers (H, W) that `read_numbers` gave."""
    if strange := strange_numbers(numbers, num_classes, first):
        raise DataError(
            f"{path}: holds label {strange[0]}, but the classes are {known_numbers(num_classes, first)}; correct the "
            "label map, or name all classes (medssm data check lists such files)"
        )
    is_other = (numbers < first) | (numbers == IGNORED)
    return np.where(is_other, IGNORED, numbers.astype(np.int32) - first).astype(np.uint8)


def as_numbers(labels: np.ndarray) -> np.ndarray:
    """What a file holds for classes (H, W) uint8, the way back.

    >>> as_numbers(np.array([[0, 149, 255]], np.uint8)).tolist()
    [[1, 150, 0]]
    """
    return labels + np.uint8(1)  # IGNORED goes round to 0


def known_numbers(num_classes: int, first: int) -> str:
    """Which numbers files may hold, in words."""
    if first:
        return f"1 to {num_classes} and 0 is other"
    return f"0 to {num_classes - 1} and {IGNORED} is other"


def strange_numbers(numbers: np.ndarray, num_classes: int, first: int = 1) -> list[int]:
    """The numbers of a file, (H, W), that are neither a class, nor other."""
    known = {*range(num_classes + first), IGNORED}
    return [int(number) for number in np.unique(numbers) if int(number) not in known]


def doubtful_numbering(numbers: Set[int], num_classes: int) -> str:
    """Why label maps that together hold these numbers are none of classes that count from 1, in words; "" if they are.

    >>> doubtful_numbering({0, 1, 2, 255}, 2)
    ''
    """
    classes = numbers - {0, IGNORED}
    if not classes and {0, IGNORED} <= numbers:
        return f"hold 0 and {IGNORED} alone, and neither is a class; write 1, 2, ... for the classes"
    if not classes:
        return "say of no pixel what it is; write 1, 2, ... for the classes"
    if numbers - {IGNORED} == set(range(num_classes)):
        return (
            f"hold 0 to {num_classes - 1} and never {num_classes}, as if the classes counted from 0, which is other; "
            "write the label before each name in the list ('0 sky', '1 land', ...), or from 1 on if 0 is other"
        )
    return ""
