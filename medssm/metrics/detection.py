"""Average precision of boxes and masks, by pycocotools."""

import io
from collections.abc import Iterable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from pycocotools import mask as coco_masks
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from medssm.data.layouts.coco import Annotations

Kind = Literal["box", "mask"]
_IOU_TYPES = {"box": "bbox", "mask": "segm"}


@dataclass(frozen=True)
class FoundObjects:
    """What a detector found in one image, in pixels of the annotated one.

    Attributes:
        image: index in the annotations.
        boxes: (n, 4) left, top, right, bottom. scores, labels: (n,).
        run_lengths: n masks, compressed as pycocotools gives them.
    """

    image: int
    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    run_lengths: tuple[bytes, ...]


@dataclass(frozen=True)
class AveragePrecision:
    """COCO's figures, each in [0, 1] or NaN where no object is of the kind.

    The mean over classes of the area under precision over recall, read at 101 recalls; over overlaps of 0.5 to 0.95 in
    ten steps if not said otherwise. What lies in a crowd region counts neither for nor against.

    Attributes:
        ap: of the 100 surest in each image. ap50, ap75: at an overlap of 0.5 and 0.75.
        ap_small, ap_medium, ap_large: of objects of less than 32², up to 96² and more pixels.
        ar1, ar10, ar100: mean recall with so many of each image. ar_small, ar_medium, ar_large: with 100, by size.
        classes: (classes,), ap of each.

    Source: Lin et al. 2014, arXiv:1405.0312, and cocodataset.org/#detection-eval.
    """

    ap: float
    ap50: float
    ap75: float
    ap_small: float
    ap_medium: float
    ap_large: float
    ar1: float
    ar10: float
    ar100: float
    ar_small: float
    ar_medium: float
    ar_large: float
    classes: tuple[float, ...]


def average_precision(annotations: Annotations, found: Iterable[FoundObjects], kind: Kind) -> AveragePrecision:
    """The figures of what was found in some of the annotated images, against all that is in those."""
    found = list(found)
    images = [result.image for result in found]
    with redirect_stdout(io.StringIO()):  # pycocotools has no other way to be silent
        truth = _indexed(annotations, images, _truth(annotations, images, kind))
        results = _indexed(annotations, images, _results(annotations, found, kind))
        evaluation = COCOeval(truth, results, _IOU_TYPES[kind])
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    precision = evaluation.eval["precision"][:, :, :, 0, -1]  # overlaps, recalls, classes; every size, 100 an image
    classes = [_mean(precision[:, :, label]) for label in range(len(annotations.categories))]
    figures: Any = (*(_known(value) for value in evaluation.stats), tuple(classes))  # in the order of the attributes
    return AveragePrecision(*figures)


def _truth(annotations: Annotations, images: Sequence[int], kind: Kind) -> Iterable[dict[str, Any]]:
    for image in images:
        within = annotations.of(image)
        for place in range(within.start, within.stop):
            if kind == "mask" and not annotations.has_shape[place]:
                continue
            yield {
                "image_id": image,
                "category_id": int(annotations.labels[place]),
                "iscrowd": int(annotations.is_crowd[place]),
                "area": float(annotations.areas[place]),
                **_shape(annotations, image, kind, annotations.boxes[place], annotations.run_lengths(place)),
            }


def _results(annotations: Annotations, found: Iterable[FoundObjects], kind: Kind) -> Iterable[dict[str, Any]]:
    for result in found:
        boxes = np.concatenate([result.boxes[:, :2], result.boxes[:, 2:] - result.boxes[:, :2]], 1).astype(float)
        rows = zip(boxes, result.scores.tolist(), result.labels.tolist(), result.run_lengths, strict=True)
        for box, score, label, counts in rows:
            shape = _shape(annotations, result.image, kind, box, counts)
            area = box[2] * box[3] if kind == "box" else coco_masks.area(shape["segmentation"])
            yield {"image_id": result.image, "category_id": label, "score": score, "area": float(area), **shape}


def _shape(annotations: Annotations, image: int, kind: Kind, box: np.ndarray, counts: bytes) -> dict[str, Any]:
    if kind == "box":
        return {"bbox": box.tolist()}
    return {"segmentation": {"size": annotations.sizes[image].tolist(), "counts": counts}}


def _indexed(annotations: Annotations, images: Sequence[int], entries: Iterable[dict[str, Any]]) -> COCO:
    """As pycocotools wants them; an identity of 0 would be taken for no match."""
    coco = COCO()
    sizes = annotations.sizes.tolist()
    coco.dataset = {
        "images": [{"id": image, "height": sizes[image][0], "width": sizes[image][1]} for image in images],
        "categories": [{"id": label} for label in range(len(annotations.categories))],
        "annotations": [{"iscrowd": 0, **entry, "id": place} for place, entry in enumerate(entries, 1)],
    }
    coco.createIndex()
    return coco


def _known(value: float) -> float:
    """pycocotools writes -1 where there is nothing to measure."""
    return float(value) if value > -1 else float("nan")


def _mean(precision: np.ndarray) -> float:
    return _known(precision[precision > -1].mean()) if (precision > -1).any() else float("nan")
