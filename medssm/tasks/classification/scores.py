"""The accuracy of a classifier on the validation images of a dataset, beside the published one."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from timm.data import ImageNetInfo
from torch import nn

from medssm.checkpoints import WeightsMetadata
from medssm.data.layouts.imagenet import ImageDataset
from medssm.data.layouts.imagenet.dataset import with_classes
from medssm.errors import UsageError
from medssm.metrics.classification import top_k_hits
from medssm.models import model_info
from medssm.models.info import ImageInput, PublishedResult
from medssm.tasks.classification.samples import ValidationImages, open_images
from medssm.tasks.measured import Measured, Table, source_of
from medssm.tasks.precision import autocast
from medssm.tasks.runner import input_fields
from medssm.tasks.schema import ClassificationRecipe
from medssm.tasks.weights import load_network
from medssm.training.hardware import resolve_precision
from medssm.training.loader import by_processes


@dataclass(frozen=True)
class ClassAccuracy:
    """One class: as its folder is called and for people, its images, and how many of them were right."""

    folder: str
    name: str
    images: int
    top1: float
    top5: float


@dataclass(frozen=True)
class Accuracy(Measured):
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
    classes: tuple[ClassAccuracy, ...]

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


def measure(
    recipe: ClassificationRecipe,
    weights: str | Path,
    model: str | None = None,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> Accuracy:
    """The accuracy of a network on all validation images of a recipe's dataset.

    Images are prepared as the weights ask for, not as the recipe does.

    Args:
        weights: a run folder, one of our files or a published one; "published" fetches those of `model`.
        model: whose weights they are; None to tell by the file.
        progress: called with (images done, images).

    Raises: UsageError or DataError if there is no dataset; CheckpointError if the weights cannot be used.
    """
    dataset = open_images(recipe.data)
    network, metadata = load_network(weights, model, "classification")
    labels = _as_the_network_numbers(dataset, metadata)
    size, preparation = _input_of(metadata)
    images = ValidationImages(labels.validation, size, preparation, recipe.validation.batch_size)
    hits = _hits(network, images, recipe, progress)
    info = model_info(metadata.model)
    return Accuracy(
        model=metadata.model,
        weights=str(weights),
        dataset=dataset.source.name,
        precision=resolve_precision(recipe.run.precision, recipe.run.accelerator),
        input_size=size,
        preparation=preparation,
        published=info.result if metadata.num_classes == info.num_classes else None,
        classes=tuple(_per_class(dataset, hits)),
    )


def _input_of(metadata: WeightsMetadata) -> tuple[tuple[int, int], ImageInput]:
    """Size (H, W) and preparation that the weights ask for."""
    height, width = metadata.input_size
    return (height, width), ImageInput(**input_fields(metadata))


def _as_the_network_numbers(dataset: ImageDataset, metadata: WeightsMetadata) -> ImageDataset:
    """The dataset with the labels of the network: found by the classes' names, by ImageNet's folders, or by order.

    Raises: DataError or UsageError if the network does not know the classes.
    """
    names = [metadata.class_names.get(label, "") for label in range(metadata.num_classes)]
    if set(dataset.names) <= set(names):
        new_labels = np.array([names.index(name) for name in dataset.names], np.int32)
        return ImageDataset(
            dataset.source, dataset.classes, tuple(names), dataset.training, dataset.validation.relabelled(new_labels)
        )
    imagenet = ImageNetInfo().label_names()
    if metadata.num_classes == len(imagenet) and set(dataset.classes) & set(imagenet):
        return with_classes(dataset, imagenet)
    if len(dataset.classes) == metadata.num_classes:
        return dataset
    raise UsageError(
        f"{dataset.source}: has {len(dataset.classes)} classes, such as {dataset.names[0]!r}, which are not those "
        f"{metadata.num_classes} of the weights; give the dataset that they were trained for"
    )


def _hits(
    network: nn.Module, images: ValidationImages, recipe: ClassificationRecipe, progress: Callable[[int, int], None]
) -> np.ndarray:
    """(images, 2): top-1 and top-5 of each image in order."""
    wants_gpu = recipe.run.accelerator in ("auto", "cuda") and torch.cuda.is_available()
    device = torch.device("cuda" if wants_gpu else "cpu")
    network = network.to(device).eval()
    precision = resolve_precision(recipe.run.precision, recipe.run.accelerator)
    rounded = getattr(torch, recipe.data.dtype)
    found = []
    progress(0, len(images.samples))
    places, processes = range(len(images)), recipe.run.loader_processes
    for index, batch in by_processes(images.__getitem__, places, processes, ValidationImages.__module__):
        labels = batch.labels.to(device)
        with torch.inference_mode(), autocast(precision, device):
            logits = network(batch.images.to(rounded).float().to(device)).float()
        found.append(torch.stack([top_k_hits(logits, labels, k) for k in (1, 5)], 1).cpu().numpy())
        progress(min(len(images.samples), (index + 1) * images.batch_size), len(images.samples))
    return np.concatenate(found)


def _per_class(dataset: ImageDataset, hits: np.ndarray) -> Sequence[ClassAccuracy]:
    labels = np.array([sample.label for sample in dataset.validation])
    return [
        ClassAccuracy(folder, name, int(mine.sum()), *hits[mine].sum(0, dtype=np.float64).tolist())
        for label, (folder, name) in enumerate(zip(dataset.classes, dataset.names, strict=True))
        if (mine := labels == label).any()
    ]
