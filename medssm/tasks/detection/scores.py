"""The average precision of a detector on the validation images of a dataset, beside the published one."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, NamedTuple

import numpy as np

from medssm.checkpoints import WeightsMetadata
from medssm.metrics.detection import AveragePrecision, FoundObjects, average_precision
from medssm.models import head_info, model_info
from medssm.models.info import DetectionInput, PublishedDense
from medssm.tasks.detection.runner import ObjectDetector
from medssm.tasks.detection.samples import ScoredPhotographs, found_objects, open_objects
from medssm.tasks.detection.settings import DetectionRecipe
from medssm.tasks.measured import Measured, ShippedNetwork, Table, figure_or_none, percent, source_of
from medssm.tasks.names import labels_in_dataset
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
            {**category._asdict(), "box_ap": figure_or_none(box), "mask_ap": figure_or_none(mask)}
            for category, box, mask in figures
        ]


def measure_objects(
    subject: ShippedNetwork[ObjectDetector], recipe: DetectionRecipe, progress: Callable[[int, int], None]
) -> ObjectScores:
    """The average precision of a network on all validation images of a recipe's dataset.

    Args:
        progress: called with (images done, images).

    Raises: UsageError or DataError if there is no dataset, or the network does not know its categories.
    """
    detector, metadata, dataset = subject.runner, subject.metadata, open_objects(recipe.data)
    labels = labels_in_dataset(metadata, dataset.names, dataset.source)
    images = ScoredPhotographs(dataset.validated, detector.preparation, recipe.validation.batch_size)
    found = [_relabelled(one, labels) for one in _found(detector, images, recipe.run.loader_processes, progress)]
    known = dataset.validated.annotations
    counts = np.bincount(known.labels[~known.is_crowd], minlength=len(dataset.categories)).tolist()
    return ObjectScores(
        model=metadata.model,
        head=metadata.head,
        weights=subject.weights,
        dataset=dataset.source.name,
        images=len(dataset.validated),
        precision=detector.precision,
        preparation=detector.preparation,
        box=average_precision(known, found, "box"),
        mask=average_precision(known, found, "mask"),
        categories=tuple(
            Category(*category, count) for category, count in zip(dataset.categories.items(), counts, strict=True)
        ),
        published=_published(metadata),
    )


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
    detector: ObjectDetector, images: ScoredPhotographs, processes: int, progress: Callable[[int, int], None]
) -> Iterator[FoundObjects]:
    """What the network finds on every image, in order."""
    done, count = 0, len(images.images)
    progress(done, count)
    for _, batch in by_processes(images.__getitem__, range(len(images)), processes, ScoredPhotographs.__module__):
        yield from found_objects(detector.detect_batch(batch.images, batch.sizes, batch.originals), batch)
        done += len(batch.indices)
        progress(done, count)


def _published(metadata: WeightsMetadata) -> tuple[PublishedDense, ...]:
    is_same = metadata.num_classes == head_info(metadata.head).num_classes and not metadata.head_settings
    dense = model_info(metadata.model).dense if is_same else ()
    return tuple(entry for entry in dense if entry.head == metadata.head)


def _texts(figures: AveragePrecision) -> Sequence[str]:
    values = [getattr(figures, field) for field in _COLUMNS.values()]
    return [percent(value, 1) for value in values]


def _no_texts() -> list[str]:
    return [""] * (len(_COLUMNS) - 1)


def _known(figures: AveragePrecision) -> dict[str, float | None]:
    """The figures over all categories; JSON has no NaN."""
    names = [field.name for field in fields(figures) if field.name != "classes"]
    return {name: figure_or_none(getattr(figures, name)) for name in names}
