"""An image or a video in, classes with their probabilities out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from medssm.errors import UsageError
from medssm.tasks.files import FileKind
from medssm.tasks.precision import autocast
from medssm.tasks.runner import Runner


class Views(FileKind, Protocol):
    """How files become inputs of a network; `kind` says which files."""

    def of(self, path: Path) -> Iterator[Tensor]:
        """Batches of float32 inputs, over whose scores the mean is to be taken.

        Raises: DataError for a file that cannot be used; OSError.
        """


class Candidate(NamedTuple):
    """A class that a file may be of; the first rank is 1, labels count from 0."""

    rank: int
    label: int
    name: str
    probability: float


@dataclass(frozen=True, eq=False)
class Classification:
    """What a file shows.

    Attributes:
        probabilities: (K,) float32, of the classes in the order of their labels.
        names: of the classes.
    """

    path: Path
    probabilities: np.ndarray
    names: Sequence[str]

    def top(self, count: int = 5) -> list[Candidate]:
        """The likeliest classes, the likeliest first."""
        labels = np.argsort(-self.probabilities, kind="stable")[:count].tolist()
        return [
            Candidate(rank, label, self.names[label], float(self.probabilities[label]))
            for rank, label in enumerate(labels, start=1)
        ]


class Classifier(Runner[nn.Module, Views]):
    """A network with all that it needs to classify files.

    Logits beyond the names are of classes that never occur, and left out.
    """

    @torch.inference_mode()
    def classify(self, path: str | Path) -> Classification:
        """The classes of an image, or of a video, whose views' probabilities are averaged.

        Raises: DataError for a file that cannot be read, or is not what the network takes; OSError.
        """
        path = Path(path)
        probabilities = torch.cat([self._probabilities(batch) for batch in self.preparation.of(path)]).mean(0)
        return Classification(path, probabilities.cpu().numpy(), self.names)

    def _probabilities(self, batch: Tensor) -> Tensor:
        device = torch.device(self.device or "cpu")
        with autocast(self.precision, device):
            logits: Tensor = self.network(batch.to(device))
        if logits.shape[1] < len(self.names):
            raise UsageError(f"{self.model}: gives {logits.shape[1]} classes, but its weights name {len(self.names)}")
        return logits[:, : len(self.names)].float().softmax(dim=1)
