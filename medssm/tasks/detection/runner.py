"""A photograph in, the objects on it out: boxes, classes, scores and masks."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from pycocotools import mask as coco_masks
from torch import Tensor, nn

from medssm.checkpoints import WeightsMetadata
from medssm.data.layouts.coco.categories import CATEGORIES
from medssm.data.transforms.boxes import (
    AnnotatedImage,
    on_original,
    padded_together,
    resized_example,
    resized_size,
    to_tensor,
)
from medssm.data.transforms.colours import normalised
from medssm.models.detection import Detections, Detector, paste_masks
from medssm.models.info import DetectionInput
from medssm.tasks.files import read_photograph
from medssm.tasks.names import class_names
from medssm.tasks.runner import Runner, input_fields
from medssm.viewing.boxes import objects_picture

SCORE = 0.3
Size = tuple[int, int]


class DetectedObject(NamedTuple):
    """One object; labels count from 0, a box is left, top, right and bottom in pixels of the image."""

    label: int
    name: str
    score: float
    box: tuple[float, float, float, float]


@dataclass(frozen=True, eq=False)
class Detection:
    """What was found on a photograph, the surest first.

    Attributes:
        image: (H, W, 3) uint8, upright.
        boxes: (n, 4) float32: left, top, right, bottom in pixels of the image.
        scores: (n,) float32. labels: (n,) int64, from 0.
        names: of all classes.
        cells: (n, m, m) float32, probabilities of the masks in cells of the boxes; `masks` lays them out.
    """

    path: Path
    image: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    names: Sequence[str]
    cells: Tensor

    def __len__(self) -> int:
        return len(self.scores)

    def objects(self) -> list[DetectedObject]:
        """Each object with the name of its class."""
        found = zip(self.labels.tolist(), self.scores.tolist(), self.boxes.tolist(), strict=True)
        return [DetectedObject(label, self.names[label], score, tuple(box)) for label, score, box in found]

    def masks(self) -> Iterator[np.ndarray]:
        """The mask of each object, (H, W) bool, one after the other: together they would take much memory."""
        height, width = self.image.shape[:2]
        return whole_masks(self.cells, torch.from_numpy(self.boxes), (height, width))

    def picture(self) -> np.ndarray:
        """The photograph with boxes, masks, names and scores, (H, W, 3) uint8; a tiny one is enlarged."""
        return objects_picture(self.image, self.boxes, self.labels, self.names, self.scores, self.masks())

    def show(self) -> Image.Image:
        """The picture as a notebook shows it."""
        return Image.fromarray(self.picture())

    def as_coco(self, image_id: int = 1) -> list[dict[str, Any]]:
        """A result in COCO's format for each object, which `COCO.loadRes` of pycocotools takes.

        `bbox` is left, top, width and height in pixels, `segmentation` the mask in run lengths and `area` its size.
        """
        identities = category_ids(self.names)
        return [
            {
                "image_id": image_id,
                "category_id": identities[found.label],
                "bbox": [round(value, 2) for value in _with_extent(found.box)],
                "area": int(mask.sum()),
                "iscrowd": 0,
                "score": round(found.score, 5),
                "segmentation": {"size": list(mask.shape), "counts": run_lengths(mask).decode("ascii")},
            }
            for found, mask in zip(self.objects(), self.masks(), strict=True)
        ]


class ObjectDetector(Runner[Detector, DetectionInput]):
    """A network with all that it needs to find objects on photographs."""

    def detect(self, path: str | Path, score: float = SCORE) -> Detection:
        """The objects on a photograph.

        Args:
            score: the least that is kept.

        Raises: DataError for a file that cannot be read as an image; OSError.
        """
        path = Path(path)
        photograph = read_photograph(path)
        images, sizes = prepared([photograph], self.preparation)
        [found] = self.detect_batch(images, sizes, [(photograph.height, photograph.width)])
        kept = found.scores >= score
        boxes, scores, labels, cells = (part[kept].cpu() for part in found)
        return Detection(path, np.array(photograph), boxes.numpy(), scores.numpy(), labels.numpy(), self.names, cells)

    @torch.inference_mode()
    def detect_batch(self, images: Tensor, sizes: list[Size], originals: list[Size]) -> list[Detections]:
        """All objects on each of several images, on the network's device.

        Args:
            images: (B, 3, H, W), padded together. sizes: (h, w) of each before that.
            originals: (h, w) of the photographs.
        """
        with self.autocast:
            return objects_on(self.network, images.to(self.place), sizes, originals)


def object_detector(
    network: nn.Module, metadata: WeightsMetadata, device: str | torch.device | None = None, precision: str = "32-true"
) -> ObjectDetector:
    """The detector of a network and the metadata of its weights."""
    assert isinstance(network, Detector)
    settings = DetectionInput(**input_fields(metadata))
    return ObjectDetector(network, metadata.model, settings, class_names(metadata), device, precision)


def objects_on(network: Detector, images: Tensor, sizes: list[Size], originals: list[Size]) -> list[Detections]:
    """What a network finds on each of several images (B, 3, H, W), boxes in pixels of the originals, all in float32."""
    rows = zip(network.detect(images, sizes), sizes, originals, strict=True)
    return [
        Detections(
            on_original(found.boxes.float(), size, original), found.scores.float(), found.labels, found.masks.float()
        )
        for found, size, original in rows
    ]


def prepared(photographs: Sequence[Image.Image], settings: DetectionInput) -> tuple[Tensor, list[Size]]:
    """The input (B, 3, H, W) float32 of RGB photographs, and the (h, w) of each that are no padding."""
    views, sizes = [], []
    for photograph in photographs:
        image = to_tensor(photograph)
        alone = AnnotatedImage(image, torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), image[:0])
        sizes.append(resized_size(alone.size, settings.short_side, settings.long_side))
        views.append(normalised(resized_example(alone, sizes[-1]).image, settings.mean, settings.std))
    return padded_together(views, settings.multiple), sizes


def whole_masks(cells: Tensor, boxes: Tensor, size: Size) -> Iterator[np.ndarray]:
    """Masks (H, W) bool over the whole image, one after the other: together they would take much memory.

    Args:
        cells: (n, m, m) float32 in the boxes. boxes: (n, 4).
    """
    for place in range(len(cells)):
        part = slice(place, place + 1)
        yield paste_masks(cells[part], boxes[part], size)[0].cpu().numpy()


def run_lengths(mask: np.ndarray) -> bytes:
    """A mask (H, W) bool in COCO's run lengths."""
    counts: bytes = coco_masks.encode(np.asfortranarray(mask, np.uint8))["counts"]
    return counts


def category_ids(names: Sequence[str]) -> list[int]:
    """The identity of each class in COCO's files: COCO's own, which have gaps, for its 80 classes; else from 1 on."""
    if list(names) == list(CATEGORIES.values()):
        return list(CATEGORIES)
    return list(range(1, len(names) + 1))


def _with_extent(box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    left, top, right, bottom = box
    return left, top, right - left, bottom - top
