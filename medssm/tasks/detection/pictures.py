"""Photographs with the objects that were found on them, alone or beside those that are annotated."""

from collections.abc import Iterator, Sequence

import numpy as np
from pycocotools import mask as coco_masks

from medssm.data.layouts.coco import CocoDataset
from medssm.metrics.detection import FoundObjects
from medssm.tasks.detection.runner import Detection, Size
from medssm.viewing.boxes import objects_picture

# Objects of a lower score are left out of pictures.
_SHOWN_SCORE = 0.5


def detected_objects(found: Detection) -> np.ndarray:
    """The photograph with boxes, masks, names and scores, (H, W, 3) uint8."""
    return found.picture()


def beside_annotations(found: FoundObjects, dataset: CocoDataset) -> np.ndarray:
    """An annotated image with its objects on the left and what was found on the right, (H, W, 3) uint8."""
    place = int(np.flatnonzero(dataset.validated.indices == found.image)[0])
    image = dataset.validated[place]
    pixels = np.array(image.read())
    sure = found.scores >= _SHOWN_SCORE
    masks = (mask for mask, is_sure in zip(_masks(found, image.size), sure, strict=True) if is_sure)
    known = objects_picture(pixels, image.boxes, image.labels, dataset.names, None, image.masks.astype(bool))
    seen = objects_picture(pixels, found.boxes[sure], found.labels[sure], dataset.names, found.scores[sure], masks)
    return np.concatenate([known, seen], axis=1)


def _masks(found: FoundObjects, size: Size) -> Iterator[np.ndarray]:
    for counts in found.run_lengths:
        yield coco_masks.decode({"size": list(size), "counts": counts}).astype(bool)


def shown(results: Sequence[FoundObjects], count: int) -> list[FoundObjects]:
    """Some of the results, far from each other."""
    every = max(1, len(results) // count)
    return list(results[::every][:count])
