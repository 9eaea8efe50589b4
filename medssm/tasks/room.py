"""What is asked of a task, whichever it is.

An answer is imported when it is asked for, so that a command loads the parts of its own task alone.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import nn

    from medssm.checkpoints import WeightsMetadata
    from medssm.models.info import TaskName
    from medssm.tasks.files import FileKind
    from medssm.tasks.measured import Measured, ShippedNetwork
    from medssm.tasks.settings import Recipe
    from medssm.training import Task

RecipeOf = TypeVar("RecipeOf", bound="Recipe")
RunnerOf = TypeVar("RunnerOf")
Found = TypeVar("Found")

if TYPE_CHECKING:
    Opens = Callable[[RecipeOf], Task]
    Runs = Callable[[nn.Module, WeightsMetadata, str | torch.device | None, str], RunnerOf]
    Measures = Callable[[ShippedNetwork[RunnerOf], RecipeOf, Callable[[int, int], None]], Measured]
    Draws = Callable[[Found], np.ndarray]


@dataclass(frozen=True)
class Room(ABC, Generic[RecipeOf, RunnerOf, Found]):
    """A task: what networks are trained for and do.

    Attributes:
        name: what recipes call it, and the registry its networks or heads.
        networks: what the registry calls the networks that are trained for it, whole or as backbones.
        example: the first recipe of it.
        does: in words, after the name of a network. command: that has it done.
    """

    name: str
    networks: "TaskName"
    example: str
    does: str
    command: str

    @property
    @abstractmethod
    def settings(self) -> type[RecipeOf]:
        """What its recipes say."""

    @property
    @abstractmethod
    def training(self) -> "Opens[RecipeOf]":
        """From a recipe to what the loop trains, with its data found; UsageError or DataError if there are none."""

    @property
    @abstractmethod
    def runner(self) -> "Runs[RunnerOf]":
        """From a network, its metadata, a device (None: a GPU if there is one) and a precision to what runs it."""

    @abstractmethod
    def published_names(self, model: str) -> tuple[str, ...]:
        """The classes that a published network tells apart, perhaps fewer than its outputs; empty if nobody says."""

    @property
    @abstractmethod
    def files(self) -> "FileKind":
        """Which files it is done to."""

    @property
    @abstractmethod
    def measure(self) -> "Measures[RunnerOf, RecipeOf]":
        """From a runner, a recipe and a progress (items done, items) to figures on the recipe's validation split."""

    @property
    @abstractmethod
    def picture(self) -> "Draws[Found]":
        """From what its runner found on a file to a picture, (H, W, 3) uint8."""
