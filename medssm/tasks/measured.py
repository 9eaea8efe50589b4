"""What the measuring of a network gives, whatever it was measured by: a table to read, and files to keep."""

import csv
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from medssm.files import atomic_path, spreadsheet_cell
from medssm.models.info import PublishedResult


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
            temporary.write_text(json.dumps(self.document(), indent=2) + "\n", encoding="utf-8")

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
