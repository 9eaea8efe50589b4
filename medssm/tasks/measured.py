"""Weights measured as they are shipped, and what that gives: a table to read, and files to keep."""

import csv
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from medssm.checkpoints import WeightsMetadata
from medssm.errors import UsageError
from medssm.files import atomic_path, json_text, spreadsheet_cell
from medssm.models.info import PublishedResult
from medssm.tasks import TASKS, task_of
from medssm.tasks.loading import contents, load_network
from medssm.tasks.settings import Recipe
from medssm.tasks.weights import weights_path

RunnerOf = TypeVar("RunnerOf")


@dataclass(frozen=True)
class ShippedNetwork(Generic[RunnerOf]):
    """What is measured: the runner that files go through too.

    Attributes:
        metadata: what its weights say of themselves. weights: where they came from.
    """

    runner: RunnerOf
    metadata: WeightsMetadata
    weights: str


class Table(NamedTuple):
    """Lines of text in columns; the last line sums the others up where `has_total`."""

    header: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    has_total: bool = False


class Measured(ABC):
    """The figures of one network on one dataset."""

    @property
    @abstractmethod
    def title(self) -> str:
        """What was measured on what."""

    @abstractmethod
    def table(self) -> Table:
        """The figures that are compared, for people."""

    @abstractmethod
    def remarks(self) -> str:
        """How the figures came about and what they can be compared with, in sentences."""

    @abstractmethod
    def document(self) -> dict[str, Any]:
        """All of it, as JSON can hold it."""

    @abstractmethod
    def rows(self) -> list[dict[str, Any]]:
        """The finest figures, such as one row per class; all with the same keys."""

    def write_json(self, path: Path) -> None:
        """Writes all of it."""
        with atomic_path(path) as temporary:
            temporary.write_text(json_text(self.document()), encoding="utf-8")

    def write_csv(self, path: Path) -> None:
        """Writes the rows; an empty field where there is no figure."""
        rows = self.rows()
        with atomic_path(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows({key: spreadsheet_cell(value) for key, value in row.items()} for row in rows)


def source_of(result: PublishedResult | None) -> str:
    """Where a published figure comes from, in a sentence; nothing where there is none."""
    if result is None:
        return ""
    remark = f" ({result.remark})" if result.remark else ""
    return f"Published: {result.metric} on {result.dataset}, {result.source}{remark}."


def measure(
    recipe: Recipe,
    weights: str | Path,
    model: str | None = None,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> Measured:
    """The figures of a network on the validation split of a recipe's dataset, with the recipe's device and precision.

    Files are prepared as the weights ask for, not as the recipe does.

    Args:
        weights: a run folder, one of our files or a published one; "published" fetches those of `model`.
        model: whose weights they are; None to tell by the file.
        progress: called with (items done, items).

    Raises: UsageError or DataError if there is no dataset; CheckpointError or UsageError if the weights cannot be used.
    """
    from medssm.training.hardware import resolve_precision

    network, metadata = load_network(weights_path(weights, model), model)
    task, found, run = TASKS[recipe.task], task_of(metadata), recipe.run
    if found is not task:
        raise UsageError(f"{weights}: holds {contents(metadata)}; the recipe to measure it by is {found.example}")
    device = None if run.accelerator == "auto" else run.accelerator
    runner = task.runner(network, metadata, device, resolve_precision(run.precision, run.accelerator))
    outcome: Measured = task.measure(ShippedNetwork(runner, metadata, str(weights)), recipe, progress)
    return outcome


def figure_or_none(value: float) -> float | None:
    """A figure as JSON can hold it: None for NaN."""
    return None if math.isnan(value) else float(value)


def percent(value: float, digits: int = 2) -> str:
    """A share for people; nothing for NaN."""
    return "" if math.isnan(value) else f"{100 * value:.{digits}f}"
