"""From a JSON file in COCO's format to arrays, which are kept in the user's cache."""

import hashlib
import json
import os
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import save_file

from medssm.data.layouts.coco.annotations import Annotations, open_annotations
from medssm.data.layouts.coco.lists import AnnotationLists
from medssm.errors import DataError
from medssm.files import atomic_path, cache_folder

# Raise this whenever the same file would give other arrays.
VERSION = 2


def read_annotations(source: str | Path) -> Annotations:
    """The annotations of a JSON file, from the cache if it has been read before.

    Raises: DataError in one sentence if the file is missing, no JSON, or not in COCO's format.
    """
    source = Path(source).absolute()
    file = _cache_file(source)
    try:
        annotations = open_annotations(file)
    except (FileNotFoundError, SafetensorError, KeyError, TypeError, ValueError):
        return kept_annotations(AnnotationLists(source))
    os.utime(file)
    return annotations


def kept_annotations(lists: AnnotationLists) -> Annotations:
    """The annotations of a file that has been read, written to the cache.

    Raises: DataError if the file cannot be used.
    """
    if lists.broken:
        raise DataError(f"{lists.path}: {lists.broken}")
    if lists.refusal:
        raise DataError(f"{lists.path}: {lists.refusal}; correct it (medssm data check lists all that is wrong)")
    file = _cache_file(lists.path.absolute())
    categories = sorted((category.id, category.name) for category in lists.categories.values())
    with atomic_path(file) as temporary:
        metadata = {"categories": json.dumps(categories), "source": str(lists.path)}
        save_file(_arrays(lists, [identity for identity, _ in categories]), temporary, metadata)
    return open_annotations(file)


def _arrays(lists: AnnotationLists, categories: list[int]) -> dict[str, np.ndarray]:
    """The fields of `Annotations`, sorted by image."""
    kept = sorted(lists.annotations, key=lambda one: one.image)
    images = list(lists.images.values())
    of_image = np.array([one.image for one in kept], np.int64)
    return {
        "image_ids": np.array([image.id for image in images], np.int64),
        "names": _byte_rows([image.name for image in images]),
        "sizes": np.array([(image.height, image.width) for image in images], np.int32),
        "first": np.searchsorted(of_image, np.arange(len(images) + 1)).astype(np.int64),
        "ids": np.array([one.entry.id for one in kept], np.int64),
        "labels": np.searchsorted(categories, [one.entry.category for one in kept]).astype(np.int32),
        "boxes": np.array([one.entry.box for one in kept], np.float64).reshape(-1, 4),
        "areas": np.array([one.entry.area for one in kept], np.float64),
        "is_crowd": np.array([one.entry.is_crowd for one in kept], bool),
        "has_shape": np.array([one.counts is not None for one in kept], bool),
        "counts": np.frombuffer(b"".join(one.counts or b"" for one in kept), np.uint8),
        "ends": np.cumsum([len(one.counts or b"") for one in kept], dtype=np.int64),
    }


def _byte_rows(names: list[str]) -> np.ndarray:
    fixed = np.array([name.encode() for name in names])
    return fixed.view(np.uint8).reshape(len(names), -1)


def _cache_file(source: Path) -> Path:
    try:
        status = source.stat()
    except OSError as error:
        raise DataError(f"{source}: cannot be read ({error.strerror}); correct the path") from error
    key = f"{VERSION} {source.resolve()} {status.st_size} {status.st_mtime_ns}"
    return cache_folder() / "coco" / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.safetensors"
