"""An image or a video in, classes with their probabilities out."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from medssm.errors import UsageError
from medssm.tasks.files import FileKind
from medssm.tasks.runner import Runner


class Views(FileKind, Protocol):
    """How files become inputs of a network, over whose scores the mean is to be taken; `kind` says which files.

    Attributes:
        at_once: views of a file that go through the network together.
    """

    at_once: int

    def read(self, path: Path) -> Tensor:
        """The views (views, 3, ...) of a file as they are stored.

        Raises: DataError for a file that cannot be used; OSError.
        """

    def normalised(self, views: Tensor) -> Tensor:
        """Views (..., 3, *size) as the network takes them, float32."""


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

    def classify(self, path: str | Path) -> Classification:
        """The classes of an image, or of a video, whose views' probabilities are averaged.

        Raises: DataError for a file that cannot be read, or is not what the network takes; OSError.
        """
        path = Path(path)
        [probabilities] = self.probabilities(self.preparation.read(path)[None])
        return Classification(path, probabilities.cpu().numpy(), self.names)

    @torch.inference_mode()
    def probabilities(self, inputs: Tensor) -> Tensor:
        """(B, K) float32 of the classes with a name, the mean over views of inputs (B, views, 3, ...) as stored."""
        with self.autocast:
            logits = view_logits(self.network, inputs.to(self.place), self.preparation)
        if logits.shape[2] < len(self.names):
            raise UsageError(f"{self.model}: gives {logits.shape[2]} classes, but its weights name {len(self.names)}")
        return logits[..., : len(self.names)].softmax(dim=2).mean(1)


def view_logits(network: nn.Module, inputs: Tensor, views: Views) -> Tensor:
    """(B, views, K) float32 of inputs (B, views, 3, ...) as they are stored, on the network's device."""
    parts = inputs.split(views.at_once, dim=1)
    return torch.cat(
        [network(views.normalised(part.flatten(0, 1))).float().unflatten(0, part.shape[:2]) for part in parts], dim=1
    )
