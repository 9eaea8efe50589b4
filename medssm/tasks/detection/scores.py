"""The average precision of a detector on the validation images of a dataset, beside the published one."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from medssm.checkpoints import WeightsMetadata
from medssm.data.layouts.coco import CocoDataset
from medssm.errors import UsageError
from medssm.metrics.detection import AveragePrecision, FoundObjects, average_precision
from medssm.models import head_info, model_info
from medssm.models.detection import Detector
from medssm.models.info import DetectionInput, PublishedDense
from medssm.tasks.detection.pictures import found_objects
from medssm.tasks.detection.samples import ValidationImages, open_objects
from medssm.tasks.detection.settings import DetectionRecipe
from medssm.tasks.measured import Measured, Table, source_of
from medssm.tasks.names import class_names
from medssm.tasks.precision import autocast
from medssm.tasks.runner import input_fields
from medssm.tasks.weights import load_network
from medssm.training.hardware import resolve_precision
from medssm.training.loader import by_processes

_COLUMNS = {
    "AP": "ap",
    "AP50": "ap50",
    "AP75": "ap75",
    "small": "ap_small",
    "medium": "ap_medium",
    "large": "ap_large",
    "AR1": "ar1",
    "AR10": "ar10",
    "AR100": "ar100",
}


class Category(NamedTuple):
    """A category: its identity in the dataset, its name, and its objects on the validation images without crowds."""

    id: int
    name: str
    objects: int


@dataclass(frozen=True)
class ObjectScores(Measured):
    """The validation of one detector.

    Attributes:
        head: of the network. preparation: how images became its input.
        box, mask: the figures, with those of each category.
        published: what the authors report of the network, empty where that is of other classes.
    """

    model: str
    head: str
    weights: str
    dataset: str
    images: int
    precision: str
    preparation: DetectionInput
    box: AveragePrecision
    mask: AveragePrecision
    categories: tuple[Category, ...]
    published: tuple[PublishedDense, ...]

    @property
    def title(self) -> str:
        return f"{head_info(self.head).title} on {self.model}, {self.images} validation images of {self.dataset}"

    def table(self) -> Table:
        rows = [(name, *_texts(figures)) for name, figures in (("boxes", self.box), ("masks", self.mask))]
        for entry in self.published:
            for name, result in zip(("boxes", "masks"), entry.results, strict=True):
                rows.append((f"published {name}, {entry.schedule}", f"{result.value:.1f}", *_no_texts()))
        return Table(("percent", *_COLUMNS), rows)

    def remarks(self) -> str:
        given = self.preparation
        measured = (
            f"Images as the weights ask for: resized within {given.long_side} x {given.short_side}, {self.precision}. "
            "AP is the mean over overlaps of 0.5 to 0.95, AR the recall with so many objects an image, by pycocotools; "
            "small is below 32², large from 96² pixels."
        )
        return f"{measured} {source_of(self.published[0].results[0]) if self.published else ''}".rstrip()

    def document(self) -> dict[str, Any]:
        parts = {"preparation": asdict(self.preparation), "box": _known(self.box), "mask": _known(self.mask)}
        published = {
            entry.schedule: {result.metric: result.value for result in entry.results} for entry in self.published
        }
        plain = {name: getattr(self, name) for name in ("model", "head", "weights", "dataset", "images", "precision")}
        return {**plain, **parts, "published": published, "categories": self.rows()}

    def rows(self) -> list[dict[str, Any]]:
        figures = zip(self.categories, self.box.classes, self.mask.classes, strict=True)
        return [
            {**category._asdict(), "box_ap": _or_none(box), "mask_ap": _or_none(mask)}
            for category, box, mask in figures
        ]


def measure(
    recipe: DetectionRecipe,
    weights: str | Path,
    model: str | None = None,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> ObjectScores:
    """The average precision of a network on all validation images of a recipe's dataset.

    Images are prepared as the weights ask for, not as the recipe does.

    Args:
        weights: a run folder, one of our files or a published one; "published" fetches those of `model`.
        model: whose weights they are; None to tell by the file.
        progress: called with (images done, images).

    Raises: UsageError or DataError if there is no dataset; CheckpointError if the weights cannot be used.
    """
    dataset = open_objects(recipe.data)
    network, metadata = load_network(weights, model, "classification")
    if not isinstance(network, Detector):
        raise UsageError(
            f"{weights}: holds weights of {metadata.model} without a head for detection; give a detector's"
        )
    labels = labels_in_dataset(dataset, metadata)
    preparation = DetectionInput(**input_fields(metadata))
    assert dataset.validation is not None  # open_objects has seen to it
    images = ValidationImages(dataset.validation, preparation, recipe.validation.batch_size)
    found = [_relabelled(result, labels) for result in _found(network, images, recipe, progress)]
    known = dataset.validation.annotations
    counts = np.bincount(known.labels[~known.is_crowd], minlength=len(dataset.categories)).tolist()
    return ObjectScores(
        model=metadata.model,
        head=metadata.head,
        weights=str(weights),
        dataset=dataset.source.name,
        images=len(dataset.validation),
        precision=resolve_precision(recipe.run.precision, recipe.run.accelerator),
        preparation=preparation,
        box=average_precision(known, found, "box"),
        mask=average_precision(known, found, "mask"),
        categories=tuple(
            Category(*category, count) for category, count in zip(dataset.categories.items(), counts, strict=True)
        ),
        published=_published(metadata),
    )


def labels_in_dataset(dataset: CocoDataset, metadata: WeightsMetadata) -> np.ndarray:
    """(classes of the network,) the dataset's label of each, by name; -1 for one that the dataset lacks.

    Raises: UsageError if the network does not know all of the dataset's categories.
    """
    names = class_names(metadata)
    if unknown := [name for name in dataset.names if name not in names]:
        raise UsageError(
            f"{dataset.source}: has {len(dataset.names)} categories, of which {unknown[0]!r} is none of the weights' "
            f"{len(names)}; give the dataset that they were trained for"
        )
    labels = [dataset.names.index(name) if name in dataset.names else -1 for name in names]
    return np.array(labels + [-1] * (metadata.num_classes - len(labels)))


def _relabelled(found: FoundObjects, labels: np.ndarray) -> FoundObjects:
    """With the dataset's labels, and without what it knows no category of."""
    kept = np.flatnonzero(labels[found.labels] >= 0)
    return FoundObjects(
        found.image,
        found.boxes[kept],
        found.scores[kept],
        labels[found.labels[kept]],
        tuple(found.run_lengths[place] for place in kept),
    )


def _found(
    network: Detector, images: ValidationImages, recipe: DetectionRecipe, progress: Callable[[int, int], None]
) -> list[FoundObjects]:
    """What the network finds on every image, in order."""
    wants_gpu = recipe.run.accelerator in ("auto", "cuda") and torch.cuda.is_available()
    device = torch.device("cuda" if wants_gpu else "cpu")
    network = network.to(device).eval()
    precision = resolve_precision(recipe.run.precision, recipe.run.accelerator)
    found: list[FoundObjects] = []
    progress(0, len(images.images))
    places, processes = range(len(images)), recipe.run.loader_processes
    for _, batch in by_processes(images.__getitem__, places, processes, ValidationImages.__module__):
        with torch.inference_mode(), autocast(precision, device):
            found += found_objects(network, batch._replace(images=batch.images.to(device)), images.images)
        progress(len(found), len(images.images))
    return found


def _published(metadata: WeightsMetadata) -> tuple[PublishedDense, ...]:
    is_same = metadata.num_classes == head_info(metadata.head).num_classes and not metadata.head_settings
    dense = model_info(metadata.model).dense if is_same else ()
    return tuple(entry for entry in dense if entry.head == metadata.head)


def _texts(figures: AveragePrecision) -> Sequence[str]:
    values = [getattr(figures, field) for field in _COLUMNS.values()]
    return ["" if math.isnan(value) else f"{100 * value:.1f}" for value in values]


def _no_texts() -> list[str]:
    return [""] * (len(_COLUMNS) - 1)


def _known(figures: AveragePrecision) -> dict[str, float | None]:
    """The figures over all categories; JSON has no NaN."""
    names = [field.name for field in fields(figures) if field.name != "classes"]
    return {name: _or_none(getattr(figures, name)) for name in names}


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value
