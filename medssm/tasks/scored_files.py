"""Files whose class is known, and how often a classifier is right about them."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from medssm.data.images.samples import ImageSample
from medssm.errors import DataError
from medssm.metrics.classification import top_k_hits
from medssm.tasks.answers import Answer
from medssm.tasks.classifier import Classifier, Views
from medssm.training.loader import by_processes

# Batches of a validation of which some files are shown.
SHOWN_BATCHES = 8


class BrokenFile(NamedTuple):
    """A file that cannot be read: its place among those of its part, and why, in a sentence."""

    place: int
    reason: str


class ScoredBatch(NamedTuple):
    """Inputs of the files of a batch that can be read.

    Attributes:
        inputs: (B, views, 3, ...), as they are stored. labels: (B,) int64.
        broken: those that cannot.
        is_shown: whether some are to be shown.
    """

    inputs: Tensor
    labels: Tensor
    broken: tuple[BrokenFile, ...]
    is_shown: bool


class ScoredFiles:
    """The files that score a classifier, in batches of which the last may be smaller."""

    def __init__(self, samples: Sequence[ImageSample], views: Views, batch_size: int) -> None:
        self.samples, self.views, self.batch_size = samples, views, batch_size

    def __len__(self) -> int:
        return -(-len(self.samples) // self.batch_size)

    def __getitem__(self, index: int) -> ScoredBatch:
        inputs, labels, broken = [], [], []
        for place in range(index * self.batch_size, min(len(self.samples), (index + 1) * self.batch_size)):
            sample = self.samples[place]
            try:
                inputs.append(self.views.read(sample.path))
                labels.append(sample.label)
            except (DataError, OSError) as error:
                broken.append(BrokenFile(place, str(error)))
        stacked = torch.stack(inputs) if inputs else torch.empty(0, 1)
        every = max(1, len(self) // SHOWN_BATCHES)
        return ScoredBatch(stacked, torch.tensor(labels, dtype=torch.long), tuple(broken), index % every == 0)


class BatchScore(NamedTuple):
    """What is kept of a batch.

    Attributes:
        labels: (B,). hits: (B, 2), whether the class was the most probable one, and among the five most probable.
        cross_entropy: its sum.
        answers: some of them, to be shown.
    """

    labels: Tensor
    hits: Tensor
    cross_entropy: float
    broken: tuple[BrokenFile, ...]
    answers: list[Answer]


class ClassAccuracy(NamedTuple):
    """One class: its place in the dataset, its files that could be read, and how many of them were right."""

    place: int
    files: int
    top1: float
    top5: float


def score_batch(scores: Tensor, batch: ScoredBatch, answers: list[Answer]) -> BatchScore:
    """What is kept of a batch with logarithms of class probabilities (B, K)."""
    if not len(batch.labels):
        return BatchScore(batch.labels.cpu(), torch.empty(0, 2), 0.0, batch.broken, answers)
    entropy = F.nll_loss(scores, batch.labels, reduction="none").double().sum()
    return BatchScore(batch.labels.cpu(), _hits(scores, batch.labels), float(entropy), batch.broken, answers)


def accuracy(results: Sequence[BatchScore]) -> dict[str, float]:
    """Means over all files that could be read, each counted once, and over their classes.

    Raises: DataError if there are none.
    """
    labels, hits = joined(results)
    per_class = [hits[labels == label, 0].mean() for label in labels.unique()]
    return {
        "top1": float(hits[:, 0].mean()),
        "top5": float(hits[:, 1].mean()),
        "mean_class": float(torch.stack(per_class).mean()),
        "validation_loss": sum(result.cross_entropy for result in results) / len(labels),
    }


def joined(results: Sequence[BatchScore]) -> tuple[Tensor, Tensor]:
    """The labels (N,) and hits (N, 2) float64 of all batches.

    Raises: DataError if no file could be read.
    """
    labels = torch.cat([result.labels for result in results])
    if not len(labels):
        first = next(result.broken[0] for result in results if result.broken)
        raise DataError(f"nothing of the validation can be read, the first: {first.reason}")
    return labels, torch.cat([result.hits for result in results]).double()


def classified(
    classifier: Classifier, files: ScoredFiles, processes: int, progress: Callable[[int, int], None]
) -> Iterator[BatchScore]:
    """The scores of all batches in order, by the classes that the classifier names.

    Args:
        processes: that prepare inputs.
        progress: called with (files done, files).
    """
    progress(0, len(files.samples))
    places, module = range(len(files)), type(files.views).__module__
    for index, batch in by_processes(files.__getitem__, places, processes, module):
        batch = batch._replace(labels=batch.labels.to(classifier.place))
        scores = classifier.probabilities(batch.inputs).log() if len(batch.labels) else batch.inputs
        yield score_batch(scores, batch, [])
        progress(min(len(files.samples), (index + 1) * files.batch_size), len(files.samples))


def by_class(numbers: np.ndarray, results: Sequence[BatchScore]) -> list[ClassAccuracy]:
    """The classes that have files.

    Args:
        numbers: (classes of the dataset,), the network's number of each.
    """
    labels, hits = joined(results)
    return [
        ClassAccuracy(place, int(mine.sum()), *hits[mine].sum(0).tolist())
        for place, number in enumerate(numbers.tolist())
        if (mine := labels == number).any()
    ]


def _hits(scores: Tensor, labels: Tensor) -> Tensor:
    return torch.stack([top_k_hits(scores, labels, k) for k in (1, 5)], 1).cpu()
