"""The accuracy of a classifier on the validation images of a dataset, beside the published one."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from medssm.checkpoints import WeightsMetadata
from medssm.data.layouts.imagenet import ImageDataset, imagenet_classes, with_classes
from medssm.errors import DataError, UsageError
from medssm.models import model_info
from medssm.models.info import ImageInput, PublishedResult
from medssm.tasks.classification.samples import open_images
from medssm.tasks.classification.settings import ClassificationRecipe
from medssm.tasks.classifier import Classifier
from medssm.tasks.measured import Measured, ShippedNetwork, Table, source_of
from medssm.tasks.runner import input_fields
from medssm.tasks.scored_files import ScoredFiles, by_class, classified


@dataclass(frozen=True)
class ImageClass:
    """One class: as its folder is called and for people, its images, and how many of them were right."""

    folder: str
    name: str
    images: int
    top1: float
    top5: float


@dataclass(frozen=True)
class ImageAccuracy(Measured):
    """The validation of one network.

    Attributes:
        input_size: (H, W) in pixels. preparation: how images became that.
        published: what the authors report of the network, None where that is of other classes.
        classes: those that have images.
    """

    model: str
    weights: str
    dataset: str
    precision: str
    input_size: tuple[int, ...]
    preparation: ImageInput
    published: PublishedResult | None
    classes: tuple[ImageClass, ...]

    @property
    def images(self) -> int:
        return sum(entry.images for entry in self.classes)

    @property
    def top1(self) -> float:
        """The share of images whose class was the most probable one."""
        return sum(entry.top1 for entry in self.classes) / self.images

    @property
    def top5(self) -> float:
        """The share of images whose class was among the five most probable ones."""
        return sum(entry.top5 for entry in self.classes) / self.images

    @property
    def title(self) -> str:
        return f"{self.model}, {self.images} validation images of {self.dataset}"

    def table(self) -> Table:
        rows = [("measured", f"{100 * self.top1:.2f} %", f"{100 * self.top5:.2f} %")]
        if self.published:
            rows.append(("published", f"{self.published.value:.1f} %", ""))
        return Table(("", "top-1", "top-5"), rows)

    def remarks(self) -> str:
        given, (height, width) = self.preparation, self.input_size
        how = "shorter side" if given.crop_mode == "center" else "both sides"
        prepared = (
            f"Images as the weights ask for: {how} to {int(height / given.crop_pct)}, {given.interpolation}, middle "
            f"{height} x {width}; {self.precision}."
        )
        return f"{prepared} {source_of(self.published)}".rstrip()

    def document(self) -> dict[str, Any]:
        return {"top1": self.top1, "top5": self.top5, "images": self.images, **asdict(self)}

    def rows(self) -> list[dict[str, Any]]:
        return [asdict(entry) for entry in self.classes]


def measure_images(
    subject: ShippedNetwork[Classifier], recipe: ClassificationRecipe, progress: Callable[[int, int], None]
) -> ImageAccuracy:
    """The accuracy of a network on all validation images of a recipe's dataset.

    Args:
        progress: called with (images done, images).

    Raises: UsageError or DataError if there is no dataset, its classes are others, or an image cannot be read.
    """
    classifier, metadata, dataset = subject.runner, subject.metadata, open_images(recipe.data)
    numbers = _numbers(dataset, metadata)
    samples = dataset.validation.relabelled(numbers)
    images = ScoredFiles(samples, classifier.preparation, recipe.validation.batch_size)
    results = list(classified(classifier, images, recipe.run.loader_processes, progress))
    if broken := [file for result in results for file in result.broken]:
        raise DataError(broken[0].reason)
    info, (height, width) = model_info(metadata.model), metadata.input_size
    return ImageAccuracy(
        model=metadata.model,
        weights=subject.weights,
        dataset=dataset.source.name,
        precision=classifier.precision,
        input_size=(height, width),
        preparation=ImageInput(**input_fields(metadata)),
        published=info.result if metadata.num_classes == info.num_classes else None,
        classes=tuple(
            ImageClass(dataset.classes[entry.place], dataset.names[entry.place], *entry[1:])
            for entry in by_class(numbers, results)
        ),
    )


def _numbers(dataset: ImageDataset, metadata: WeightsMetadata) -> np.ndarray:
    """The network's number of each class of a dataset: found by the names, by ImageNet's folders, or by their order.

    Raises: DataError or UsageError if the network does not know the classes.
    """
    names = [metadata.class_names.get(label, "") for label in range(metadata.num_classes)]
    if set(dataset.names) <= set(names):
        return np.array([names.index(name) for name in dataset.names], np.int32)
    imagenet = imagenet_classes()
    if metadata.num_classes == len(imagenet) and set(dataset.classes) & set(imagenet):
        with_classes(dataset, imagenet)  # refuses a folder that is none of them
        place = {name: label for label, name in enumerate(imagenet)}
        return np.array([place[name] for name in dataset.classes], np.int32)
    if len(dataset.classes) == metadata.num_classes:
        return np.arange(metadata.num_classes, dtype=np.int32)
    raise UsageError(
        f"{dataset.source}: has {len(dataset.classes)} classes, such as {dataset.names[0]!r}, which are not those "
        f"{metadata.num_classes} of the weights; give the dataset that they were trained for"
    )
