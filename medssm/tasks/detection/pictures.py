"""What a detector finds on images of a validation, scored and drawn."""

from collections.abc import Iterator, Sequence

import numpy as np
from pycocotools import mask as coco_masks
from torch import Tensor

from medssm.data.layouts.coco import CocoDataset, CocoImages
from medssm.data.transforms.boxes import on_original
from medssm.metrics.detection import FoundObjects
from medssm.models.detection import Detections, Detector, paste_masks
from medssm.tasks.detection.samples import Size, ValidationBatch
from medssm.viewing.boxes import objects_picture

# Objects of a lower score are left out of pictures.
_SHOWN_SCORE = 0.5


def found_objects(network: Detector, batch: ValidationBatch, images: CocoImages) -> list[FoundObjects]:
    """What the network finds on each image of a batch, in pixels of the image as it is annotated."""
    detections = network.detect(batch.images, batch.sizes)
    rows = zip(detections, batch.sizes, batch.indices, strict=True)
    return [_on_image(found, size, index, images) for found, size, index in rows]


def picture(found: FoundObjects, dataset: CocoDataset) -> np.ndarray:
    """An annotated image with its objects on the left and what was found on the right, (H, W, 3) uint8."""
    assert dataset.validation is not None
    place = int(np.flatnonzero(dataset.validation.indices == found.image)[0])
    image = dataset.validation[place]
    pixels = np.array(image.read())
    sure = found.scores >= _SHOWN_SCORE
    masks = (mask for mask, is_sure in zip(_masks(found, image.size), sure, strict=True) if is_sure)
    known = objects_picture(pixels, image.boxes, image.labels, dataset.names, None, image.masks.astype(bool))
    seen = objects_picture(pixels, found.boxes[sure], found.labels[sure], dataset.names, found.scores[sure], masks)
    return np.concatenate([known, seen], axis=1)


def _on_image(found: Detections, resized: Size, index: int, images: CocoImages) -> FoundObjects:
    height, width = (int(side) for side in images.annotations.sizes[index])
    boxes = on_original(found.boxes, resized, (height, width))
    return FoundObjects(
        image=index,
        boxes=boxes.double().cpu().numpy(),
        scores=found.scores.double().cpu().numpy(),
        labels=found.labels.cpu().numpy(),
        run_lengths=tuple(_run_lengths(found.masks, boxes, (height, width))),
    )


def _run_lengths(cells: Tensor, boxes: Tensor, size: Size) -> Iterator[bytes]:
    """The masks over the whole image, one after the other: together they would take much memory."""
    for place in range(len(cells)):
        mask = paste_masks(cells[place : place + 1], boxes[place : place + 1], size)[0]
        yield coco_masks.encode(np.asfortranarray(mask.cpu().numpy(), np.uint8))["counts"]


def _masks(found: FoundObjects, size: Size) -> Iterator[np.ndarray]:
    for counts in found.run_lengths:
        yield coco_masks.decode({"size": list(size), "counts": counts}).astype(bool)


def shown(results: Sequence[FoundObjects], count: int) -> list[FoundObjects]:
    """Some of the results, far from each other."""
    every = max(1, len(results) // count)
    return list(results[::every][:count])
