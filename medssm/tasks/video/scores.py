"""The accuracy of a network on the validation videos of a data set, beside the published one."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from medssm.data.layouts.actions import ActionSet
from medssm.errors import UsageError
from medssm.models import model_info
from medssm.models.info import ClipInput, PublishedResult
from medssm.tasks.measured import Measured, Table, source_of
from medssm.tasks.names import class_names
from medssm.tasks.precision import autocast
from medssm.tasks.runner import input_fields
from medssm.tasks.schema import VideoRecipe
from medssm.tasks.video.broken import BrokenVideos
from medssm.tasks.video.samples import ValidationClips, open_clips
from medssm.tasks.video.training import BatchScore, score_videos, summary, view_scores
from medssm.tasks.weights import load_network
from medssm.training.hardware import resolve_precision
from medssm.training.loader import by_processes


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


def measure(
    recipe: VideoRecipe,
    weights: str | Path,
    model: str | None = None,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> VideoAccuracy:
    """The accuracy of a network on all validation videos of a recipe's data set.

    Videos are prepared as the weights ask for, in as many views as they ask for, not as the recipe does.

    Args:
        weights: a run folder, one of our files or a published one; "published" fetches those of `model`.
        model: whose weights they are; None to tell by the file.
        progress: called with (videos done, videos).

    Raises: UsageError or DataError if there is no data set; CheckpointError if the weights cannot be used.
    """
    dataset = open_clips(recipe.data)
    network, metadata = load_network(weights, model, "video")
    names = class_names(metadata)
    numbers = _numbers(dataset, names)
    preparation = ClipInput(**input_fields(metadata))
    batch = max(1, recipe.validation.batch_size // (preparation.views * preparation.crops))
    samples = dataset.validation.relabelled(numbers)
    clips = ValidationClips(samples, metadata.input_size, preparation, batch)
    results = _results(network, clips, len(names), recipe, progress)
    broken = BrokenVideos("validation", len(samples), recipe.data.max_broken_share)
    broken.add(tuple(video for result in results for video in result.broken))
    scores, info = summary(results), model_info(metadata.model)
    return VideoAccuracy(
        model=metadata.model,
        weights=str(weights),
        dataset=f"{dataset.title} ({dataset.source.name})",
        precision=resolve_precision(recipe.run.precision, recipe.run.accelerator),
        input_size=metadata.input_size,
        preparation=preparation,
        published=None if metadata.class_names else info.result,
        top1=scores["top1"],
        top5=scores["top5"],
        mean_class=scores["mean_class"],
        broken=tuple(broken.reasons.values()),
        missing=dataset.missing["validation"],
        classes=tuple(_per_class(dataset.classes, numbers, results)),
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


def _results(
    network: nn.Module,
    clips: ValidationClips,
    classes: int,
    recipe: VideoRecipe,
    progress: Callable[[int, int], None],
) -> list[BatchScore]:
    """The scores of all batches in order; logits beyond the classes are left out."""
    wants_gpu = recipe.run.accelerator in ("auto", "cuda") and torch.cuda.is_available()
    device = torch.device("cuda" if wants_gpu else "cpu")
    network = network.to(device).eval()
    precision = resolve_precision(recipe.run.precision, recipe.run.accelerator)
    found, places = [], range(len(clips))
    progress(0, len(clips.samples))
    for index, batch in by_processes(
        clips.__getitem__, places, recipe.run.loader_processes, ValidationClips.__module__
    ):
        with torch.inference_mode(), autocast(precision, device):
            scores = view_scores(network, batch.clips.to(device), clips.views.normalised)[:, :classes]
        found.append(score_videos(scores, batch.labels.to(device), batch.broken, []))
        progress(min(len(clips.samples), (index + 1) * clips.batch_size), len(clips.samples))
    return found


def _per_class(names: Sequence[str], numbers: np.ndarray, results: list[BatchScore]) -> list[ActionAccuracy]:
    labels = torch.cat([result.labels for result in results])
    hits = torch.cat([result.hits for result in results]).double()
    return [
        ActionAccuracy(name, int(mine.sum()), *hits[mine].sum(0).tolist())
        for name, number in zip(names, numbers.tolist(), strict=True)
        if (mine := labels == number).any()
    ]
