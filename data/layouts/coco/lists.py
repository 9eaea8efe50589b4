"""What a file in COCO's format lists, read once for training and for the check, and what is wrong with it."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from medssm.data.layouts.coco.entries import (
    AnnotationEntry,
    CategoryEntry,
    EntryError,
    ImageEntry,
    annotation_entry,
    category_entry,
    image_entry,
)
from medssm.data.layouts.coco.json_lists import json_entries
from medssm.data.layouts.coco.shapes import ShapeFault, encoded
from medssm.data.progress import tracked
from medssm.errors import DataError, one_line, without_path

Box = tuple[float, float, float, float]

# Rounding leaves COCO's own boxes and outlines a little outside of their images; in pixels.
_ROUNDING = 2.0
# Boxes that are so near to those of their outlines agree with them; in pixels, and as a share of the image's side.
_NEAR, _NEAR_SHARE = 2.0, 0.02
# How else people write boxes -> what that is as left, top, width and height in an image (H, W).
_OTHER_BOXES = {
    "left, top, right, bottom": lambda a, b, c, d, height, width: (a, b, c - a, d - b),
    "the centre, width and height": lambda a, b, c, d, height, width: (a - c / 2, b - d / 2, c, d),
    "shares of the image": lambda a, b, c, d, height, width: (a * width, b * height, c * width, d * height),
}


class KeptAnnotation(NamedTuple):
    """An annotation as it is kept: the index of its image, and its shape's compressed run lengths, None for none."""

    image: int
    entry: AnnotationEntry
    counts: bytes | None


class AnnotationLists:
    """A file read to its end, or to where it cannot be read on.

    Attributes:
        images, categories: by identity; annotations: in the order of the file.
        faulty: short name of a fault -> the identities of the entries that have it.
        general: short name -> what is wrong with all entries together, in words.
        broken: why the file could not be read on.
        refusal: the first reason for which the file cannot be used, in words; "" if it can.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.images: dict[int, ImageEntry] = {}
        self.categories: dict[int, CategoryEntry] = {}
        self.annotations: list[KeptAnnotation] = []
        self.faulty: dict[str, list[str]] = defaultdict(list)
        self.general: dict[str, str] = {}
        self.broken = self.refusal = ""
        self._places: dict[int, int] = {}
        self._identities: set[int] = set()
        self._names: set[str] = set()
        self._agreeing: Counter[str] = Counter()  # boxes with their outlines, by how they are written
        self._largest = {"bbox": 0.0, "polygon": 0.0}
        self._read()

    def _read(self) -> None:
        waiting: list[Any] = []  # annotations that come before the images, whose sizes they need
        try:
            for key, entry in tracked(json_entries(self.path), None, f"Reading {one_line(self.path.name, 60)}"):
                if key == "annotations" and not self.images:
                    waiting.append(entry)
                elif key in _READERS:
                    self._take(key, entry)
        except DataError as error:
            self.broken = without_path(self.path, error)
        for entry in waiting:
            self._take("annotations", entry)
        self._look_at_all()

    def _take(self, key: str, entry: Any) -> None:
        reader, kind = _READERS[key]
        try:
            reader(self, entry)
        except EntryError as error:
            name = _identity(entry)
            self._refuse(kind, name, f"an entry of {key} cannot be used ({name}): {error}")

    def _refuse(self, kind: str, name: str, sentence: str) -> None:
        """Notes a fault that makes the file useless."""
        self.faulty[kind].append(name)
        self.refusal = self.refusal or sentence

    def _image(self, entry: Any) -> None:
        image = image_entry(entry)
        if image.id in self.images:
            self._refuse("same-id", str(image.id), f"image {image.id} is listed twice, so objects would change places")
            return
        self._places[image.id] = len(self.images)
        self.images[image.id] = image

    def _category(self, entry: Any) -> None:
        category = category_entry(entry)
        if category.id in self.categories:
            self._refuse("same-id", str(category.id), f"category {category.id} is listed twice")
        elif category.name in self._names:
            twice = f"two categories are called {one_line(category.name, 60)}"
            self._refuse("same-category", str(category.id), twice)
        self._names.add(category.name)
        self.categories[category.id] = category

    def _annotation(self, entry: Any) -> None:
        annotation = annotation_entry(entry)
        name = str(annotation.id)
        if annotation.id in self._identities:
            self.faulty["same-id"].append(name)
        self._identities.add(annotation.id)
        if (image := self.images.get(annotation.image)) is None:
            unknown = f"annotation {name} is of image {annotation.image}, which is not listed"
            self._refuse("unknown-image", name, unknown)
            return
        for kind in self._box_faults(annotation, image):
            self.faulty[kind].append(name)
        counts = None
        try:
            counts, polygons = encoded(annotation.segmentation, image.height, image.width)
        except ShapeFault as fault:
            self.faulty[fault.kind].append(name)
        else:
            if len(polygons) < len(annotation.segmentation) and isinstance(annotation.segmentation, list):
                self.faulty["no-shape"].append(name)
            if polygons:
                self._compare(annotation, image, np.concatenate(polygons))
        self.annotations.append(KeptAnnotation(self._places[image.id], annotation._replace(segmentation=None), counts))

    def _box_faults(self, annotation: AnnotationEntry, image: ImageEntry) -> Iterator[str]:
        left, top, width, height = annotation.box
        self._largest["bbox"] = max(self._largest["bbox"], *map(abs, annotation.box))
        if annotation.area <= 0:
            yield "no-area"
        if width <= 0 or height <= 0:
            yield "empty-box"
        elif min(width, height) < 1:
            yield "tiny-box"
        if _is_outside((left, top, left + width, top + height), image):
            yield "box-outside"

    def _compare(self, annotation: AnnotationEntry, image: ImageEntry, points: np.ndarray) -> None:
        """An outline (points, 2) with the image, and the box with the outline."""
        (left, top), (right, bottom) = points.min(0).tolist(), points.max(0).tolist()
        if _is_outside((left, top, right, bottom), image):
            self.faulty["outline-outside"].append(str(annotation.id))
        self._largest["polygon"] = max(self._largest["polygon"], abs(left), abs(top), abs(right), abs(bottom))
        outline = left, top, right - left, bottom - top
        if _is_near(annotation.box, outline, image):
            self._agreeing["bbox"] += 1
            return
        for form, as_box in _OTHER_BOXES.items():
            if _is_near(as_box(*annotation.box, image.height, image.width), outline, image):
                self._agreeing[form] += 1

    def _look_at_all(self) -> None:
        """What only all entries together show."""
        strangers = [kept.entry for kept in self.annotations if kept.entry.category not in self.categories]
        for annotation in strangers:
            unknown = f"annotation {annotation.id} is of category {annotation.category}, which is not listed"
            self._refuse("unknown-category", str(annotation.id), unknown)
        for what, largest in self._largest.items():
            if 0 < largest <= 1:
                self.general["normalised"] = (
                    f"each {what} lies between 0 and 1, but COCO's are in pixels: multiply by width and height"
                )
        [(form, count)] = self._agreeing.most_common(1) or [("", 0)]
        if form in _OTHER_BOXES and count > self._agreeing["bbox"]:
            self.general["box-form"] = (
                f"each bbox is {form}, as {count} outlines show, but COCO's are left, top, width, height in pixels"
            )
        if not (self.images and self.categories):
            self.general.setdefault("empty", f"lists no {'categories' if self.images else 'images'}")
        self.refusal = self.broken or self.refusal or next(iter(self.general.values()), "")


_READERS = {
    "images": (AnnotationLists._image, "image-entry"),
    "categories": (AnnotationLists._category, "category-entry"),
    "annotations": (AnnotationLists._annotation, "annotation-entry"),
}


def _is_outside(corners: Box, image: ImageEntry) -> bool:
    """Whether a box of left, top, right and bottom reaches beyond an image."""
    left, top, right, bottom = corners
    beyond = max(left, right) - image.width, max(top, bottom) - image.height
    return max(-left, -top, -right, -bottom, *beyond) > _ROUNDING


def _is_near(box: Box, other: Box, image: ImageEntry) -> bool:
    limit = max(_NEAR, _NEAR_SHARE * max(image.height, image.width))
    return all(abs(one - two) <= limit for one, two in zip(box, other, strict=True))


def _identity(entry: Any) -> str:
    if not isinstance(entry, dict):
        return "no object"
    value = entry.get("id", "without id")
    return one_line(str(value)[:40], 20) if isinstance(value, str | int | float) else "without id"
