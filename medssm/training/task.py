"""What a recipe hands to the loop: a model, samples, losses and scores. The loop knows nothing else of the subject."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.utils.data import default_collate


class Task(ABC):
    """One training problem.

    Attributes:
        score: the key of `summarise` by which the best weights are chosen; higher is better.
        loss_names: the keys of `losses`, "loss" among them; the columns of the metrics file.
        score_names: the keys of `summarise`, likewise.
    """

    score: str
    loss_names: tuple[str, ...] = ("loss",)
    score_names: tuple[str, ...]

    def prepare(self) -> None:  # noqa: B027 (having nothing to prepare is fine)
        """What is done once before anything else, such as filling a cache; on each machine one process goes first."""

    @abstractmethod
    def build_model(self) -> nn.Module:
        """The untrained network; called once, with torch's generator seeded."""

    @property
    @abstractmethod
    def training_size(self) -> int:
        """The number of samples in an epoch."""

    @abstractmethod
    def sample(self, index: int, random: np.random.Generator) -> Any:
        """One training sample; everything random in it comes from `random`. Called from threads."""

    @abstractmethod
    def losses(self, model: nn.Module, batch: Any) -> dict[str, Tensor]:
        """The scalars of one step; "loss" is the one that is minimised."""

    @property
    @abstractmethod
    def validation_size(self) -> int:
        """The number of items that a validation goes through."""

    @abstractmethod
    def validate(self, model: nn.Module, index: int) -> Any:
        """The picklable result of one validation item; the model is in evaluation mode, without gradients."""

    @abstractmethod
    def summarise(self, results: list[Any]) -> dict[str, float]:
        """The scores of a whole validation from its items' results, in order."""

    @abstractmethod
    def save_weights(self, model: nn.Module, path: Path, scores: dict[str, float]) -> None:
        """Writes the weights with all that is needed to use them later."""

    def collate(self, samples: list[Any]) -> Any:
        """A batch from samples."""
        return default_collate(samples)

    def parameter_groups(self, model: nn.Module) -> list[dict[str, Any]]:
        """The optimiser's groups; a group's `rate` scales its learning rate, other keys are AdamW's."""
        return [{"params": [parameter for parameter in model.parameters() if parameter.requires_grad]}]

    def pictures(self, results: list[Any]) -> dict[str, np.ndarray]:
        """Pictures of a validation by name, (H, W, 3) uint8."""
        return {}
