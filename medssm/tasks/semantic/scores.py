"""The agreement of a segmenter with the label maps of a dataset's validation images, beside the published one."""

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from medssm.checkpoints import WeightsMetadata
from medssm.data.layouts.ade20k import IGNORED, SceneDataset
from medssm.errors import UsageError
from medssm.metrics.semantic import LabelScores, PixelCounts, count_pixels, label_scores, total
from medssm.models import head_info, model_info
from medssm.models.info import PublishedResult, SemanticInput
from medssm.tasks.measured import Measured, Table, source_of
from medssm.tasks.names import class_names
from medssm.tasks.precision import autocast
from medssm.tasks.runner import input_fields
from medssm.tasks.semantic.runner import Scales, label_map
from medssm.tasks.semantic.samples import Scenes, ValidationScene, open_scenes
from medssm.tasks.semantic.settings import SceneEvaluationSettings, SemanticRecipe
from medssm.tasks.weights import load_network
from medssm.training.hardware import resolve_precision
from medssm.training.loader import by_processes, by_threads

_TASK = "semantic"


@dataclass(frozen=True)
class LabelMeasures(Measured):
    """The validation of one segmenter.

    Attributes:
        head: of the network. preparation: how photographs became its input. scales: None for one.
        names: of the dataset's classes. counts: their pixels, over all photographs.
        published: what the authors report of the network so tested, None where that is of other classes.
    """

    model: str
    head: str
    weights: str
    dataset: str
    images: int
    precision: str
    preparation: SemanticInput
    scales: Scales | None
    names: tuple[str, ...]
    counts: PixelCounts
    published: PublishedResult | None

    @property
    def scores(self) -> LabelScores:
        """The figures, over all photographs and of each class."""
        return label_scores(self.counts)

    @property
    def title(self) -> str:
        return f"{head_info(self.head).title} on {self.model}, {self.images} validation images of {self.dataset}"

    def table(self) -> Table:
        scores = self.scores
        figures = (scores.mean_iou, scores.pixel_accuracy, scores.mean_accuracy)
        rows = [("measured", *(_percent(value) for value in figures))]
        if self.published:
            rows.append(("published", f"{self.published.value:.1f}", "", ""))
        rows += [
            (name, _percent(iou), "", _percent(accuracy))
            for name, iou, accuracy in zip(self.names, scores.iou, scores.accuracy, strict=True)
        ]
        return Table(("percent", "mIoU or IoU", "aAcc", "mAcc or accuracy"), rows)

    def remarks(self) -> str:
        given = self.preparation
        seen = f"shorter side {given.short_side}, longer at most {given.long_side} pixels"
        if self.scales:
            of = "their own size" if self.scales.of == "photograph" else seen
            ratios = ", ".join(f"{ratio:g}" for ratio in self.scales.ratios)
            seen = f"{ratios} of {of}{', each mirrored too' if self.scales.flip else ''}, probabilities averaged"
        how = "whole" if given.window is None else f"in windows of {' x '.join(map(str, given.window))}"
        measured = (
            f"Images seen {how}: {seen}; {self.precision}. Pixels are counted over the whole set, at each image's own "
            "size; those without a class are left out."
        )
        return f"{measured} {source_of(self.published)}".rstrip()

    def document(self) -> dict[str, Any]:
        scores = self.scores
        figures = {"miou": scores.mean_iou, "aacc": scores.pixel_accuracy, "macc": scores.mean_accuracy}
        plain = {name: getattr(self, name) for name in ("model", "head", "weights", "dataset", "images", "precision")}
        scales = self.scales._asdict() if self.scales else None
        published = asdict(self.published) if self.published else None
        parts = {"preparation": asdict(self.preparation), "scales": scales, "published": published}
        return {**figures, **plain, **parts, "classes": self.rows()}

    def rows(self) -> list[dict[str, Any]]:
        scores, pixels = self.scores, self.counts.reference.tolist()
        figures = zip(self.names, scores.iou.tolist(), scores.accuracy.tolist(), pixels, strict=True)
        return [
            {"class": name, "iou": _or_none(iou), "accuracy": _or_none(accuracy), "pixels": count}
            for name, iou, accuracy, count in figures
        ]


def measure(
    recipe: SemanticRecipe,
    weights: str | Path,
    model: str | None = None,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> LabelMeasures:
    """The scores of a network on all validation images of a recipe's dataset.

    Images have the size that the weights ask for; windows and several scales are the recipe's.

    Args:
        weights: a run folder, one of our files or a published one; "published" fetches those of `model`.
        model: whose weights they are; None to tell by the file.
        progress: called with (images done, images).

    Raises: UsageError or DataError if there is no dataset; CheckpointError if the weights cannot be used.
    """
    dataset = open_scenes(recipe.data)
    network, metadata = load_network(weights, model, "classification")
    if not metadata.head or head_info(metadata.head).task != _TASK:
        raise UsageError(f"{weights}: holds weights of {metadata.model} without a head for label maps; give others")
    preparation = _preparation(metadata, recipe.validation)
    scales = scales_of(recipe.validation)
    precision = resolve_precision(recipe.run.precision, recipe.run.accelerator)
    labels = labels_in_dataset(dataset, metadata)
    counts = _counts(network, recipe, dataset, (preparation, scales, precision), labels, progress)
    return LabelMeasures(
        model=metadata.model,
        head=metadata.head,
        weights=str(weights),
        dataset=dataset.source.name,
        images=len(dataset.validation),
        precision=precision,
        preparation=preparation,
        scales=scales,
        names=dataset.names,
        counts=total(counts, len(dataset.names)),
        published=_published(metadata, scales),
    )


def scales_of(settings: SceneEvaluationSettings) -> Scales | None:
    """The sizes at which photographs are seen; None for one."""
    return Scales(settings.scales, settings.flip, settings.scales_of) if settings.multi_scale else None


def labels_in_dataset(dataset: SceneDataset, metadata: WeightsMetadata) -> Tensor:
    """(classes of the network,) the dataset's label of each, by name; IGNORED for one that the dataset lacks.

    Raises: UsageError if the network does not know all of the dataset's classes.
    """
    names = class_names(metadata)
    if unknown := [name for name in dataset.names if name not in names]:
        raise UsageError(
            f"{dataset.source}: has {len(dataset.names)} classes, of which {unknown[0]!r} is none of the weights' "
            f"{len(names)}; give the dataset that they were trained for"
        )
    return torch.tensor(
        [dataset.names.index(name) if name in dataset.names else IGNORED for name in names], dtype=torch.uint8
    )


def _counts(
    network: nn.Module,
    recipe: SemanticRecipe,
    dataset: SceneDataset,
    how: tuple[SemanticInput, Scales | None, str],
    labels: Tensor,
    progress: Callable[[int, int], None],
) -> Iterator[PixelCounts]:
    """The pixels of each image."""
    preparation, scales, precision = how
    wants_gpu = recipe.run.accelerator in ("auto", "cuda") and torch.cuda.is_available()
    device = torch.device("cuda" if wants_gpu else "cpu")
    network, labels = network.to(device).eval(), labels.to(device)
    done, count = 0, len(dataset.validation)
    progress(done, count)
    for scene in _scenes(Scenes(recipe, dataset), recipe):
        with torch.inference_mode(), autocast(precision, device):
            found = label_map(scene.photograph.to(device), network, preparation, len(labels), scales=scales)
            yield count_pixels(labels[found.long()], scene.labels.to(device), len(dataset.names))
        done += 1
        progress(done, count)


def _scenes(scenes: Scenes, recipe: SemanticRecipe) -> Iterator[ValidationScene]:
    """The validation images in order, prepared ahead."""
    places, run = range(scenes.validation_size), recipe.run
    if run.loader_processes:
        prepared = by_processes(scenes.validation_item, places, run.loader_processes, Scenes.__module__)
    else:
        prepared = by_threads(scenes.validation_item, places, run.loader_threads)
    return (scene for _, scene in prepared)


def _preparation(metadata: WeightsMetadata, settings: SceneEvaluationSettings) -> SemanticInput:
    preparation = SemanticInput(**input_fields(metadata))
    if settings.window is None:
        return preparation
    return replace(preparation, window=settings.window, stride=settings.stride)


def _published(metadata: WeightsMetadata, scales: Scales | None) -> PublishedResult | None:
    """The figure of a test with one scale or with several; it is the first or the second of the authors'."""
    if metadata.num_classes != head_info(metadata.head).num_classes or metadata.head_settings:
        return None
    results = [entry.results for entry in model_info(metadata.model).dense if entry.head == metadata.head]
    place = 0 if scales is None else 1
    return results[0][place] if results and len(results[0]) > place else None


def _percent(value: float) -> str:
    return "" if math.isnan(value) else f"{100 * value:.2f}"


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value
