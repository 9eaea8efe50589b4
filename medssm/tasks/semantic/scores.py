"""The agreement of a segmenter with the label maps of a dataset's validation images, beside the published one."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from medssm.checkpoints import WeightsMetadata
from medssm.data.layouts.ade20k import IGNORED
from medssm.metrics.semantic import LabelScores, PixelCounts, count_pixels, label_scores, total
from medssm.models import head_info, model_info
from medssm.models.info import PublishedResult, SemanticInput
from medssm.tasks.measured import Measured, ShippedNetwork, Table, figure_or_none, percent, source_of
from medssm.tasks.names import labels_in_dataset
from medssm.tasks.semantic.runner import Scales, SemanticSegmenter
from medssm.tasks.semantic.samples import Scenes, ValidationScene, open_scenes
from medssm.tasks.semantic.settings import SceneEvaluationSettings, SemanticRecipe
from medssm.training.loader import by_processes, by_threads
from medssm.training.settings import RunSettings


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
        rows = [("measured", *(percent(value) for value in figures))]
        if self.published:
            rows.append(("published", f"{self.published.value:.1f}", "", ""))
        rows += [
            (name, percent(iou), "", percent(accuracy))
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
            {"class": name, "iou": figure_or_none(iou), "accuracy": figure_or_none(accuracy), "pixels": count}
            for name, iou, accuracy, count in figures
        ]


def measure_label_maps(
    subject: ShippedNetwork[SemanticSegmenter], recipe: SemanticRecipe, progress: Callable[[int, int], None]
) -> LabelMeasures:
    """The scores of a network on all validation images of a recipe's dataset; windows and scales are the recipe's.

    Args:
        progress: called with (images done, images).

    Raises: UsageError or DataError if there is no dataset, or the network does not know its classes.
    """
    segmenter, metadata, dataset = subject.runner, subject.metadata, open_scenes(recipe.data)
    labels = torch.from_numpy(labels_in_dataset(metadata, dataset.names, dataset.source))
    own_labels = torch.where(labels < 0, IGNORED, labels).to(torch.uint8).to(segmenter.place)
    preparation, scales = segmenter.preparation, scales_of(recipe.validation)
    if recipe.validation.window is not None:
        preparation = replace(preparation, window=recipe.validation.window, stride=recipe.validation.stride)

    def counts() -> Iterator[PixelCounts]:
        for scene in _told(_scenes(Scenes(recipe, dataset), recipe.run), len(dataset.validation), progress):
            found = own_labels[segmenter.label(scene.photograph, preparation, scales=scales).long()]
            yield count_pixels(found, scene.labels.to(segmenter.place), len(dataset.names))

    return LabelMeasures(
        model=metadata.model,
        head=metadata.head,
        weights=subject.weights,
        dataset=dataset.source.name,
        images=len(dataset.validation),
        precision=segmenter.precision,
        preparation=preparation,
        scales=scales,
        names=dataset.names,
        counts=total(counts(), len(dataset.names)),
        published=_published(metadata, scales),
    )


def scales_of(settings: SceneEvaluationSettings) -> Scales | None:
    """The sizes at which photographs are seen; None for one."""
    return Scales(settings.scales, settings.flip, settings.scales_of) if settings.multi_scale else None


def _scenes(scenes: Scenes, run: RunSettings) -> Iterator[ValidationScene]:
    """The validation images in order, prepared ahead."""
    places = range(scenes.validation_size)
    if run.loader_processes:
        prepared = by_processes(scenes.validation_item, places, run.loader_processes, Scenes.__module__)
    else:
        prepared = by_threads(scenes.validation_item, places, run.loader_threads)
    return (scene for _, scene in prepared)


def _told(
    scenes: Iterator[ValidationScene], count: int, progress: Callable[[int, int], None]
) -> Iterator[ValidationScene]:
    """The scenes, of which each is told when the next one is asked for."""
    for done, scene in enumerate(scenes):
        progress(done, count)
        yield scene
    progress(count, count)


def _published(metadata: WeightsMetadata, scales: Scales | None) -> PublishedResult | None:
    """The figure of a test with one scale or with several; it is the first or the second of the authors'."""
    if metadata.num_classes != head_info(metadata.head).num_classes or metadata.head_settings:
        return None
    results = [entry.results for entry in model_info(metadata.model).dense if entry.head == metadata.head]
    place = 0 if scales is None else 1
    return results[0][place] if results and len(results[0]) > place else None
