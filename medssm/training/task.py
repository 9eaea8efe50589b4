"""What a recipe hands to the loop: a model, samples, losses and scores. The loop knows nothing else of the subject."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import default_collate


class Source(ABC):
    """Where samples come from. The loader's threads or processes call it; for processes it must be picklable."""

    @property
    @abstractmethod
    def training_size(self) -> int:
        """The number of samples in an epoch."""

    @property
    def groups(self) -> np.ndarray | None:
        """Which samples may share a batch: a group's number for each, (n,); None if all may.

        Where it is not None it must stay the same through a run and be cheap to ask for.
        """
        return None

    @abstractmethod
    def sample(self, index: int, random: np.random.Generator) -> Any:
        """One training sample; everything random in it comes from `random`."""

    def collate(self, samples: list[Any], random: np.random.Generator) -> Any:
        """A batch from samples; everything random in it comes from `random`."""
        return default_collate(samples)

    @property
    @abstractmethod
    def validation_size(self) -> int:
        """The number of items that a validation goes through."""

    def validation_item(self, index: int) -> Any:
        """What `Task.validate` takes of an item; its index by default."""
        return index


@dataclass(frozen=True)
class Moment:
    """Where in the run a loss is taken.

    Attributes:
        epoch: from 0.
        average: the moving average of the network in evaluation mode, None where the recipe keeps none.
        autocast: the run's precision, for networks other than the one that is trained.
    """

    epoch: int = 0
    average: nn.Module | None = None
    autocast: AbstractContextManager[Any] = field(default_factory=nullcontext)


class Task(Source):
    """One training problem.

    Attributes:
        score: the key of `summarise` by which the best weights are chosen; higher is better.
        loss_names: the keys of `losses`, "loss" among them; the columns of the metrics file.
        score_names: the keys of `summarise`, likewise.
        unit: what the samples are called where their rate is shown; None shows steps alone.
        forward_methods: of the network, which `losses` calls in the place of the network itself.
    """

    score: str
    loss_names: tuple[str, ...] = ("loss",)
    score_names: tuple[str, ...]
    unit: str | None = None
    forward_methods: tuple[str, ...] = ()

    @property
    def class_names(self) -> Sequence[str]:
        """Of the classes that are learnt, in the order of their labels."""
        return ()

    @property
    def identity(self) -> dict[str, Any]:
        """What must be the same of the data when a run goes on, in plain values."""
        sizes = {"training samples": self.training_size, "validation items": self.validation_size}
        return {**sizes, "classes": list(self.class_names)}

    @property
    def source(self) -> Source:
        """The part of the task that the loader needs."""
        return self

    def prepare(self) -> None:
        """What is done once before anything else, such as filling a cache; on each machine one process goes first."""

    @abstractmethod
    def build_model(self) -> nn.Module:
        """The untrained network; called once, with torch's generator seeded."""

    @abstractmethod
    def losses(self, model: nn.Module, batch: Any, moment: Moment) -> dict[str, Tensor]:
        """The scalars of one pass; "loss" is the one that is minimised."""

    @abstractmethod
    def validate(self, model: nn.Module, item: Any) -> Any:
        """The picklable result of one validation item; the model is in evaluation mode, without gradients."""

    @abstractmethod
    def summarise(self, results: list[Any]) -> dict[str, float]:
        """The scores of a whole validation from its items' results, in order."""

    @abstractmethod
    def save_weights(self, model: nn.Module, path: Path, scores: dict[str, float]) -> None:
        """Writes the weights with all that is needed to use them later."""

    def pictures(self, results: list[Any]) -> dict[str, np.ndarray]:
        """Pictures of a validation by name, (H, W, 3) uint8."""
        return {}

    def complete(self, best: Path, device: torch.device, is_stopped: Callable[[], bool]) -> Iterable[str]:
        """Adds to the best weights of a training that is over what is learnt from them; sentences for the log.

        Args:
            device: that the training ran on.
            is_stopped: whether a signal has come, at which it is given up, to be taken again when the run is resumed.
        """
        return ()

    def news(self) -> list[str]:
        """Sentences for the log, asked for at the beginning and after every validation, by all processes at once."""
        return []
