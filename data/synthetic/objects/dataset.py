"""The synthetic pictures in COCO's layout, written where asked or once to the user's cache."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as coco_masks

from medssm.data.synthetic import SYNTHETIC
from medssm.data.synthetic.dataset import Fill, check_counts, described, in_threads, write_cached, write_new
from medssm.data.synthetic.objects.drawing import KINDS, DrawnObject, draw_picture

# Raise this whenever the same seed would give other images, so that no older ones are taken from the cache.
VERSION = 1
DEFAULT_TRAINING, DEFAULT_VALIDATION = SYNTHETIC["objects"].defaults.values()
_PARTS = ("train2017", "val2017")
_QUALITY = 92


def write_objects(
    folder: str | Path, training: int = DEFAULT_TRAINING, validation: int = DEFAULT_VALIDATION, seed: int = 0
) -> None:
    """Writes a synthetic dataset of five categories in COCO's layout: JPEG files of 112 to 144 pixels.

    Shapes that are seen whole are polygons, others run lengths, and crowds run lengths without compression, so that
    all that COCO's files hold occurs. The folder appears when all of it is written. Image k is the same whatever the
    number of images.

    Args:
        folder: absent, or empty.
        training, validation: number of images.
        seed: another one gives other images of the same categories.

    Raises: UsageError if the folder holds something, or there would be no image.
    """
    write_new(folder, _filling(training, validation, seed))


def cached_objects(training: int = DEFAULT_TRAINING, validation: int = DEFAULT_VALIDATION, seed: int = 0) -> Path:
    """The folder of a synthetic dataset in the user's cache, written at the first call; arguments as for write_objects.

    Processes that start at once each write their own; the first one done is kept by all.
    """
    arguments = described(training, validation, seed)
    return write_cached("objects", VERSION, arguments, _filling(training, validation, seed))


def _filling(training: int, validation: int, seed: int) -> Fill:
    check_counts(training, validation, "image")
    return partial(_write_dataset, counts=(training, validation), seed=seed)


def _write_dataset(folder: Path, counts: tuple[int, int], seed: int) -> None:
    (folder / "annotations").mkdir()
    for part, count in enumerate(counts):
        _write_part(folder, part, count, seed)


def _write_part(folder: Path, part: int, count: int, seed: int) -> None:
    (folder / _PARTS[part]).mkdir()
    written = in_threads(
        partial(_write_image, folder / _PARTS[part], (seed, part)), range(1, count + 1), "Writing the images"
    )
    drawn = [(image["id"], entry) for image, entries in written for entry in entries]
    annotations = [{"id": place, "image_id": image, **entry} for place, (image, entry) in enumerate(drawn, 1)]
    content = {
        "info": {"description": "drawn objects, a synthetic dataset", "version": str(VERSION)},
        "images": [image for image, _ in written],
        "annotations": annotations,
        "categories": [{"id": place + 1, "name": kind} for place, kind in enumerate(KINDS)],
    }
    path = folder / "annotations" / f"instances_{_PARTS[part]}.json"
    path.write_text(json.dumps(content), encoding="utf-8")


def _write_image(folder: Path, seeds: tuple[int, int], number: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Writes an image and gives its entry and those of its objects."""
    picture = draw_picture(np.random.default_rng((*seeds, number)))
    name = f"{number:012d}.jpg"
    Image.fromarray(picture.image).save(folder / name, quality=_QUALITY)
    height, width = picture.image.shape[:2]
    entry = {"id": number, "file_name": name, "height": height, "width": width}
    return entry, [annotation(drawn) for drawn in picture.objects]


def annotation(drawn: DrawnObject) -> dict[str, Any]:
    """What COCO's files say of an object, without its identities."""
    rows, columns = (np.flatnonzero(drawn.mask.any(axis)) for axis in (1, 0))
    left, top = int(columns[0]), int(rows[0])
    return {
        "category_id": KINDS.index(drawn.kind) + 1,
        "iscrowd": int(drawn.is_crowd),
        "bbox": [left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top],
        "area": int(drawn.mask.sum()),
        "segmentation": _segmentation(drawn),
    }


def _segmentation(drawn: DrawnObject) -> Any:
    if drawn.outline is not None:
        return [np.round(drawn.outline, 2).ravel().tolist()]
    if drawn.is_crowd:
        return {"size": list(drawn.mask.shape), "counts": _run_lengths(drawn.mask)}
    compressed = coco_masks.encode(np.asfortranarray(drawn.mask, np.uint8))
    return {"size": list(drawn.mask.shape), "counts": compressed["counts"].decode("ascii")}


def _run_lengths(mask: np.ndarray) -> list[int]:
    """How many pixels of 0 and of 1 follow each other down the columns, beginning with 0."""
    flat = mask.ravel(order="F")
    edges = np.flatnonzero(np.diff(flat)) + 1
    lengths = np.diff([0, *edges, flat.size]).tolist()
    return [0, *lengths] if flat[0] else lengths
