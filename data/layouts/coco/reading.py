"""From a JSON file in COCO's format to arrays, which are kept in the user's cache."""

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import save_file

from medssm.data.layouts.coco.annotations import Annotations, open_annotations
from medssm.data.layouts.coco.json_lists import json_entries
from medssm.data.layouts.coco.shapes import encoded
from medssm.data.progress import tracked
from medssm.errors import DataError
from medssm.files import atomic_path, cache_folder

# Raise this whenever the same file would give other arrays.
VERSION = 1


def read_annotations(source: str | Path) -> Annotations:
    """The annotations of a JSON file, from the cache if it has been read before.

    Raises: DataError in one sentence if the file is missing, no JSON, or not in COCO's format.
    """
    source = Path(source).absolute()
    file = _cache_file(source)
    try:
        annotations = open_annotations(file)
    except (FileNotFoundError, SafetensorError, KeyError, TypeError):
        write_annotations(source, file)
        annotations = open_annotations(file)
    os.utime(file)
    return annotations


def write_annotations(source: Path, file: Path) -> None:
    """Reads a JSON file entry by entry and writes its arrays.

    Raises: DataError as `read_annotations`.
    """
    lists = _Lists(source)
    for key, entry in tracked(json_entries(source), None, f"Reading {source.name}"):
        lists.add(key, entry)
    arrays, categories = lists.arrays()
    with atomic_path(file) as temporary:
        metadata = {"categories": json.dumps(list(categories.items())), "source": str(source)}
        save_file(arrays, temporary, metadata)


class _Lists:
    """The entries of a file as they come."""

    def __init__(self, source: Path) -> None:
        self.source = source
        self.categories: dict[int, str] = {}
        self.images: dict[int, tuple[int, str, int, int]] = {}
        self.waiting: list[Any] = []
        self.rows: list[tuple[int, int, int, bool, bool, int]] = []
        self.boxes: list[tuple[float, ...]] = []
        self.counts: list[bytes] = []

    def add(self, key: str, entry: Any) -> None:
        """Takes an entry; annotations that come before the images, whose sizes they need, wait."""
        try:
            if key == "categories":
                self.categories[int(entry["id"])] = str(entry["name"])
            elif key == "images":
                size = int(entry["height"]), int(entry["width"])
                self.images[int(entry["id"])] = (len(self.images), str(entry["file_name"]), *size)
            elif key == "annotations" and self.images:
                self.add_annotation(entry)
            elif key == "annotations":
                self.waiting.append(entry)
        except (KeyError, TypeError, ValueError) as error:
            raise self.fault(f"an entry of {key} lacks or misspells {error}") from error

    def add_annotation(self, entry: Any) -> None:
        identity, image, category = (int(entry[name]) for name in ("id", "image_id", "category_id"))
        if image not in self.images:
            raise self.fault(f"annotation {identity} is of image {image}, which is not listed")
        index, _, height, width = self.images[image]
        counts = encoded(entry.get("segmentation"), height, width)
        left, top, box_width, box_height = (float(number) for number in entry["bbox"])
        area = entry.get("area", box_width * box_height)
        self.rows.append((index, identity, category, bool(entry.get("iscrowd", 0)), counts is not None, len(self.rows)))
        self.boxes.append((left, top, box_width, box_height, float(area)))
        self.counts.append(counts or b"")

    def arrays(self) -> tuple[dict[str, np.ndarray], dict[int, str]]:
        """The fields of `Annotations`, and the categories by identity."""
        for entry in self.waiting:
            self.add("annotations", entry) if self.images else None
        if not self.images or not self.categories:
            raise self.fault(f"lists no {'categories' if self.images else 'images'}")
        categories = dict(sorted(self.categories.items()))
        images, identities, labels, is_crowd, has_shape, order = self.columns(categories)
        counts = [self.counts[place] for place in order]
        boxes = np.array(self.boxes, np.float64).reshape(-1, 5)[order]
        values = list(self.images.values())
        return {
            "image_ids": np.array(list(self.images), np.int64),
            "names": _byte_rows([name for _, name, _, _ in values]),
            "sizes": np.array([size for _, _, *size in values], np.int32),
            "first": np.searchsorted(images, np.arange(len(values) + 1)).astype(np.int64),
            "ids": identities,
            "labels": labels.astype(np.int32),
            "boxes": np.ascontiguousarray(boxes[:, :4]),
            "areas": np.ascontiguousarray(boxes[:, 4]),
            "is_crowd": is_crowd.astype(bool),
            "has_shape": has_shape.astype(bool),
            "counts": np.frombuffer(b"".join(counts), np.uint8),
            "ends": np.cumsum([len(count) for count in counts], dtype=np.int64),
        }, categories

    def columns(self, categories: dict[int, str]) -> Iterator[np.ndarray]:
        """Image, identity, label, crowd, shape and place of every annotation, sorted by image."""
        rows = np.array(self.rows, np.int64).reshape(-1, 6)
        rows = rows[np.argsort(rows[:, 0], kind="stable")]
        known = np.array(list(categories))
        labels = np.searchsorted(known, rows[:, 2]).clip(max=len(known) - 1)
        if (wrong := rows[known[labels] != rows[:, 2]]).size:
            raise self.fault(f"annotation {wrong[0, 1]} is of category {wrong[0, 2]}, which is not listed")
        rows[:, 2] = labels
        return iter(np.ascontiguousarray(rows.T))

    def fault(self, what: str) -> DataError:
        return DataError(f"{self.source}: {what}; correct it (medssm data check lists all that is wrong)")


def _byte_rows(names: list[str]) -> np.ndarray:
    fixed = np.array([os.fsencode(name) for name in names])
    return fixed.view(np.uint8).reshape(len(names), -1)


def _cache_file(source: Path) -> Path:
    try:
        status = source.stat()
    except OSError as error:
        raise DataError(f"{source}: cannot be read ({error.strerror}); correct the path") from error
    key = f"{VERSION} {source.resolve()} {status.st_size} {status.st_mtime_ns}"
    return cache_folder() / "coco" / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.safetensors"
