"""The accuracy of a network on the validation videos of a data set, beside the published one."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from medssm.data.layouts.actions import ActionSet
from medssm.errors import UsageError
from medssm.models import model_info
from medssm.models.info import ClipInput, PublishedResult
from medssm.tasks.classifier import Classifier
from medssm.tasks.measured import Measured, ShippedNetwork, Table, source_of
from medssm.tasks.runner import input_fields
from medssm.tasks.scored_files import ScoredFiles, accuracy, by_class, classified
from medssm.tasks.video.broken import BrokenVideos
from medssm.tasks.video.samples import open_clips
from medssm.tasks.video.settings import VideoRecipe


@dataclass(frozen=True)
class ActionAccuracy:
    """One class: its videos that could be read, and how many of them were right."""

    action: str
    videos: int
    top1: float
    top5: float


@dataclass(frozen=True)
class VideoAccuracy(Measured):
    """The validation of one network.

    Attributes:
        input_size: (T, H, W) of an input. preparation: how videos became that.
        published: what the authors report of the network, None where that is of other classes.
        top1, top5, mean_class: shares of the videos that could be read; the last is the mean over classes of top-1.
        broken: those that could not, with the reasons. missing: videos that are listed and not there.
        classes: those that have videos.
    """

    model: str
    weights: str
    dataset: str
    precision: str
    input_size: tuple[int, ...]
    preparation: ClipInput
    published: PublishedResult | None
    top1: float
    top5: float
    mean_class: float
    broken: tuple[str, ...]
    missing: int
    classes: tuple[ActionAccuracy, ...]

    @property
    def videos(self) -> int:
        return sum(entry.videos for entry in self.classes)

    @property
    def title(self) -> str:
        return f"{self.model}, {self.videos} validation videos of {self.dataset}"

    def table(self) -> Table:
        shares = (f"{100 * share:.2f} %" for share in (self.top1, self.top5, self.mean_class))
        rows = [("measured", *shares)]
        if self.published:
            rows.append(("published", f"{self.published.value:.1f} %", "", ""))
        return Table(("", "top-1", "top-5", "mean of classes"), rows)

    def remarks(self) -> str:
        given, (frames, height, width) = self.preparation, self.input_size
        chosen = f"every {given.frame_stride}. frame" if given.sampling == "strided" else "one frame of each equal part"
        parts = [
            f"Clips of {frames} frames, {chosen}; {given.views} x {given.crops} views a video, shorter side "
            f"{given.short_side}, {height} x {width}; {self.precision}.",
            f"{len(self.broken)} broken videos were left out; the first: {self.broken[0]}." if self.broken else "",
            f"{self.missing} listed videos are missing." if self.missing else "",
            source_of(self.published),
        ]
        return " ".join(part for part in parts if part)

    def document(self) -> dict[str, Any]:
        return {"videos": self.videos, **asdict(self)}

    def rows(self) -> list[dict[str, Any]]:
        return [asdict(entry) for entry in self.classes]


def measure_clips(
    subject: ShippedNetwork[Classifier], recipe: VideoRecipe, progress: Callable[[int, int], None]
) -> VideoAccuracy:
    """The accuracy of a network on all validation videos of a recipe's data set, in the views that its weights ask for.

    Args:
        progress: called with (videos done, videos).

    Raises: UsageError or DataError if there is no data set, or its classes are others.
    """
    classifier, metadata, dataset = subject.runner, subject.metadata, open_clips(recipe.data)
    numbers = _numbers(dataset, classifier.names)
    samples = dataset.validation.relabelled(numbers)
    batch = max(1, recipe.validation.batch_size // classifier.preparation.at_once)
    clips = ScoredFiles(samples, classifier.preparation, batch)
    results = list(classified(classifier, clips, recipe.run.loader_processes, progress))
    broken = BrokenVideos("validation", len(samples), recipe.data.max_broken_share)
    broken.add(tuple(video for result in results for video in result.broken))
    scores = accuracy(results)
    return VideoAccuracy(
        model=metadata.model,
        weights=subject.weights,
        dataset=f"{dataset.title} ({dataset.source.name})",
        precision=classifier.precision,
        input_size=metadata.input_size,
        preparation=ClipInput(**input_fields(metadata)),
        published=None if metadata.class_names else model_info(metadata.model).result,
        top1=scores["top1"],
        top5=scores["top5"],
        mean_class=scores["mean_class"],
        broken=tuple(broken.reasons.values()),
        missing=dataset.missing["validation"],
        classes=tuple(ActionAccuracy(dataset.classes[entry.place], *entry[1:]) for entry in by_class(numbers, results)),
    )


def _numbers(dataset: ActionSet, names: Sequence[str]) -> np.ndarray:
    """The network's number of each class of a data set: found by the names, or else by their order.

    Raises: UsageError if the network does not know the classes.
    """
    known = {_plain(name): number for number, name in enumerate(names)}
    if all(_plain(name) in known for name in dataset.classes):
        return np.array([known[_plain(name)] for name in dataset.classes], np.int32)
    if len(dataset.classes) == len(names):
        return np.arange(len(names), dtype=np.int32)
    raise UsageError(
        f"{dataset.source}: has {len(dataset.classes)} classes, such as {dataset.classes[0]!r}, which are not those "
        f"{len(names)} of the weights; give the data set that they were trained for"
    )


def _plain(name: str) -> str:
    return name.lower().replace(" ", "_")
