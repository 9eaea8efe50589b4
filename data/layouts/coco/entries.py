"""Entries of a file in COCO's format, and what each must hold to be used."""

from collections.abc import Mapping
from math import isfinite
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from medssm.errors import quoted

# Ids are kept in 64 bits.
_IDS = range(-(2**63), 2**63)
# Larger images train nothing here, and the size of their masks is taken on trust: it is that of Pillow's own alarm.
MOST_PIXELS = 178_956_970
_LONGEST_NAME = 1024  # bytes


class EntryError(ValueError):
    """What is wrong with an entry, in words."""


class ImageEntry(NamedTuple):
    """An image; height and width in pixels, the name relative to the images' folder."""

    id: int
    name: str
    height: int
    width: int


class CategoryEntry(NamedTuple):
    """A category."""

    id: int
    name: str


class AnnotationEntry(NamedTuple):
    """An object or a crowd region; the box is left, top, width, height in pixels, the segmentation as it was found."""

    id: int
    image: int
    category: int
    box: tuple[float, float, float, float]
    area: float
    is_crowd: bool
    segmentation: Any


def image_entry(entry: Any) -> ImageEntry:
    """An entry of the list `images`.

    Raises: EntryError.
    """
    identity, height, width = (_whole(entry, key) for key in ("id", "height", "width"))
    if not (height > 0 and width > 0 and height * width <= MOST_PIXELS):
        raise EntryError(f"its size is {width} x {height}, which must be 1 x 1 to {MOST_PIXELS} pixels")
    name = _text(entry, "file_name").replace("\\", "/")
    if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
        raise EntryError(f"its file_name {quoted(name)} leads out of the images' folder; give it relative to that")
    return ImageEntry(identity, name, height, width)


def category_entry(entry: Any) -> CategoryEntry:
    """An entry of the list `categories`.

    Raises: EntryError.
    """
    return CategoryEntry(_whole(entry, "id"), _text(entry, "name"))


def annotation_entry(entry: Any) -> AnnotationEntry:
    """An entry of the list `annotations`; an area that is not given is that of the box.

    Raises: EntryError.
    """
    identity, image, category = (_whole(entry, key) for key in ("id", "image_id", "category_id"))
    box = _field(entry, "bbox")
    if not (isinstance(box, list) and len(box) == 4 and all(map(is_number, box))):
        raise EntryError(f"its bbox must be four numbers, left, top, width and height, found {_shown(box)}")
    left, top, width, height = map(float, box)
    area = entry.get("area", width * height)
    if not is_number(area):
        raise EntryError(f"its area must be a number, found {_shown(area)}; leave it out for that of the box")
    crowd = entry.get("iscrowd") or 0
    if crowd not in (0, 1):
        raise EntryError(f"its iscrowd must be 0 or 1, found {_shown(crowd)}")
    box = (left, top, width, height)
    return AnnotationEntry(identity, image, category, box, float(area), bool(crowd), entry.get("segmentation"))


def is_number(value: Any) -> bool:
    """True for a finite number of JSON that fits a float; texts and truth values are none."""
    if type(value) is int:
        return value in _IDS
    return type(value) is float and isfinite(value)


def _shown(value: Any) -> str:
    """A value as a sentence has it; of a list only short ones, as any other may be without end."""
    if isinstance(value, str):
        return quoted(value[:60])
    if value is None or isinstance(value, int | float):
        return quoted(value)
    if isinstance(value, list) and len(value) <= 4 and not any(isinstance(part, list | dict) for part in value):
        return f"[{', '.join(map(_shown, value))}]"
    return f"{'a list' if isinstance(value, list) else 'an object'} of {len(value)}"


def _field(entry: Any, key: str) -> Any:
    if not isinstance(entry, Mapping):
        raise EntryError(f"it is {_shown(entry)} in place of names with values")
    if key not in entry:
        raise EntryError(f"it has no {key}")
    return entry[key]


def _whole(entry: Any, key: str) -> int:
    """A whole number, which some write as 7.0 or as "000000000007"."""
    value = _field(entry, key)
    is_digits = isinstance(value, str) and value.isdecimal() and len(value) < 20
    number = int(value) if is_digits or (isinstance(value, float) and value.is_integer()) else value
    if type(number) is not int or number not in _IDS:
        raise EntryError(f"its {key} must be a whole number of 64 bits, found {_shown(value)}")
    return number


def _text(entry: Any, key: str) -> str:
    value = _field(entry, key)
    text = str(value) if type(value) is int else value
    if not isinstance(text, str) or not text.strip() or not _is_plain(text):
        raise EntryError(f"its {key} must be a text without control characters, found {_shown(value)}")
    return text


def _is_plain(text: str) -> bool:
    """Whether a text can be written: without control characters and lone surrogates, and not at length."""
    if any(ord(letter) < 32 or letter == "\x7f" or "\ud800" <= letter <= "\udfff" for letter in text):
        return False
    return len(text.encode()) <= _LONGEST_NAME
