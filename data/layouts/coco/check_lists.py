"""Faults of a list of annotations in COCO's format, each kind named once with all that have it."""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from medssm.data.layouts.coco.json_lists import json_entries
from medssm.data.layouts.coco.shapes import encoded, is_polygon
from medssm.data.layouts.faults import some
from medssm.data.layouts.findings import Remark
from medssm.errors import DataError

Size = tuple[int, int]

# Rounding leaves COCO's own boxes and outlines a little outside of their images; in pixels.
_ROUNDING = 2.0
# Images of train2017, where one box has no height.
COCO_TRAINING = 118_287

# Kind -> what is wrong with the entries that have it.
_MESSAGES = {
    "image-entry": "lack or misspell id, file_name, height or width; correct the entries",
    "category-entry": "lack or misspell id or name; correct the entries",
    "annotation-entry": "lack or misspell id, image_id, category_id or bbox; correct the entries",
    "same-id": "share an id with another one of their list; number them anew",
    "unknown-image": "are of an image_id that is not listed; add the image, or remove them",
    "unknown-category": "are of a category_id that is not listed; correct it, or add the category",
    "empty-box": "have a bbox without width or height; correct it, training leaves them out",
    "box-outside": "have a bbox beyond the edges of the image; correct it",
    "no-area": "have an area of 0 or less; correct it, training leaves them out",
    "no-shape": "have no segmentation, or no polygon of three points or more; outline them",
    "outline-outside": "have polygons beyond the edges of the image; correct them",
    "run-length-size": "have run lengths (RLE) for another size than the image's; correct it",
    "run-length": "have run lengths (RLE) that do not fill the image, or are none; encode the masks anew",
}


class ListedImage(NamedTuple):
    """An image as the list has it; the size is (H, W) in pixels."""

    name: str
    size: Size


class AnnotationList:
    """What a list says, read to its end or to where it cannot be read on, and what is wrong with it.

    Attributes:
        images, categories: by identity.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.images: dict[int, ListedImage] = {}
        self.categories: dict[int, str] = {}
        self._annotations: set[int] = set()
        self._of_category: dict[int, list[str]] = defaultdict(list)
        self._faulty: dict[str, list[str]] = defaultdict(list)
        self._waiting: list[Any] = []  # annotations that come before the images
        self._broken = ""
        self._read()

    def _read(self) -> None:
        try:
            for key, entry in json_entries(self.path):
                if key == "annotations" and not self.images:
                    self._waiting.append(entry)
                elif key in _READERS:
                    self._take(key, entry)
        except DataError as error:
            self._broken = str(error).removeprefix(f"{self.path}: ")
        for entry in self._waiting:
            self._take("annotations", entry)

    def findings(self) -> Iterator[Remark]:
        """All that is wrong with the list itself."""
        if self._broken:
            yield Remark(self.path, "unreadable", self._broken)
            return
        lists = {"images": self.images, "categories": self.categories, "annotations": self._annotations}
        for key in (key for key, entries in lists.items() if not entries):
            yield Remark(self.path, f"no-{key}", f"lists no {key}; export the dataset in COCO's format again")
        strangers = self._of_category.keys() - self.categories.keys()
        unknown = [entry for category in sorted(strangers) for entry in self._of_category[category]]
        for kind, having in {**self._faulty, "unknown-category": unknown}.items():
            if having:
                is_cocos = kind == "empty-box" and len(self.images) == COCO_TRAINING
                remark = " (one is in all copies of COCO)" if is_cocos else ""
                message = f"{some(having, 'entry', 'entries')} {_MESSAGES[kind]}{remark}"
                yield Remark(self.path, kind, message, is_cocos)

    def _take(self, key: str, entry: Any) -> None:
        reader, kind = _READERS[key]
        try:
            for fault in reader(self, entry):
                self._faulty[fault].append(_identity(entry))
        except (AttributeError, KeyError, TypeError, ValueError):
            self._faulty[kind].append(_identity(entry))

    def _image(self, entry: Any) -> Iterator[str]:
        identity, size = int(entry["id"]), (int(entry["height"]), int(entry["width"]))
        if identity in self.images:
            yield "same-id"
        if min(size) < 1:
            yield "image-entry"
        self.images[identity] = ListedImage(str(entry["file_name"]), size)

    def _category(self, entry: Any) -> Iterator[str]:
        identity = int(entry["id"])
        if identity in self.categories:
            yield "same-id"
        self.categories[identity] = str(entry["name"])

    def _annotation(self, entry: Any) -> Iterator[str]:
        identity, image, category = (int(entry[name]) for name in ("id", "image_id", "category_id"))
        left, top, width, height = (float(number) for number in entry["bbox"])
        if identity in self._annotations:
            yield "same-id"
        self._annotations.add(identity)
        self._of_category[category].append(str(identity))
        if float(entry.get("area", 1)) <= 0:
            yield "no-area"
        if width <= 0 or height <= 0:
            yield "empty-box"
        if image not in self.images:
            yield "unknown-image"
            return
        size = self.images[image].size
        if _is_outside([left, top, left + width, top + height], size):
            yield "box-outside"
        yield from _shape_faults(entry.get("segmentation"), size)


_READERS = {
    "images": (AnnotationList._image, "image-entry"),
    "categories": (AnnotationList._category, "category-entry"),
    "annotations": (AnnotationList._annotation, "annotation-entry"),
}


def _shape_faults(segmentation: Any, size: Size) -> Iterator[str]:
    """Kinds of what is wrong with polygons or run lengths in an image of a size."""
    if isinstance(segmentation, list):
        polygons = [polygon for polygon in segmentation if is_polygon(polygon)]
        if not polygons or len(polygons) < len(segmentation):
            yield "no-shape"
        if any(_is_outside(polygon, size) for polygon in polygons):
            yield "outline-outside"
    elif not isinstance(segmentation, dict):
        yield "no-shape"
    elif list(segmentation["size"]) != list(size):
        yield "run-length-size"
    elif encoded(segmentation, *size) is None:
        yield "run-length"


def _is_outside(coordinates: list[float], size: Size) -> bool:
    """True for x, y, x, y, ... of which some lies outside of an image."""
    height, width = size
    x, y = coordinates[::2], coordinates[1::2]
    return min(*x, *y) < -_ROUNDING or max(x) > width + _ROUNDING or max(y) > height + _ROUNDING


def _identity(entry: Any) -> str:
    return str(entry.get("id", "without id")) if isinstance(entry, dict) else repr(entry)[:20]
