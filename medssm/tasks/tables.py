"""What was found in many files, as one JSON file and a table, to which later calls add."""

import csv
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic

from medssm.errors import UsageError
from medssm.files import atomic_path, json_text, spreadsheet_cell
from medssm.tasks.batch import FileResults, Found
from medssm.tasks.under_way import Entry


class TableForm(ABC, Generic[Found]):
    """How a task writes what it found; an entry is what JSON holds of one file, with its path under "file".

    Attributes:
        columns: of the CSV, the first of which is the file.
    """

    columns: tuple[str, ...]

    @abstractmethod
    def entry(self, file: Path, found: Found) -> Entry:
        """What is kept of a file."""

    @abstractmethod
    def rows(self, entry: Entry) -> Iterator[tuple[Any, ...]]:
        """What the CSV holds of a file."""

    def document(self, entries: list[Entry], model: str) -> dict[str, Any]:
        """What the JSON holds of all files."""
        return {"model": model, "files": entries}

    def entries_in(self, document: dict[str, Any]) -> list[Entry]:
        """The entries of such a document.

        Raises: KeyError or TypeError if it is another one.
        """
        return list(document["files"])


@dataclass
class Tables(Generic[Found]):
    """The files that hold what a command finds.

    A table that is there already is added to, if the same weights and settings have made it; nothing in it is lost.

    Attributes:
        json, csv: where they are written; None for nowhere.
        made_by: command, weights and settings, which have to be the same for entries to stand in one table.
        overwrite: begin new ones in place of those that are there.
        known: the entries that are there, by file.
    """

    form: TableForm[Found]
    json: Path | None
    csv: Path | None
    made_by: Mapping[str, Any]
    overwrite: bool = False
    known: dict[str, Entry] = field(init=False)

    def __post_init__(self) -> None:
        self.known = {} if self.overwrite else self._read_json()
        if not self.overwrite:
            self._check_csv()

    @property
    def key(self) -> str:
        """What tells these tables from those of other commands, settings and places."""
        return json.dumps([self.made_by, *map(str, self.paths)], sort_keys=True)

    @property
    def paths(self) -> list[Path]:
        """The files that are written."""
        return [path for path in (self.json, self.csv) if path is not None]

    def why_known(self, file: Path, *outputs: Path | None) -> str | None:
        """Why a file need not be gone through: it stands in the tables, and its outputs are there; None if it must."""
        if str(file) not in self.known or not all(path.exists() for path in outputs if path is not None):
            return None
        return f"is in {self.paths[0]} already" if self.paths else "is known already"

    def write(self, results: FileResults[Found], model: str) -> None:
        """Writes what was known with what was found, and the files that failed.

        Raises: OSError of the file system.
        """
        new = {str(file): self.form.entry(file, found) for file, found in results.found.items()}
        entries = list((self.known | new).values())
        if self.json:
            failed = [{"file": str(file), "error": sentence} for file, sentence in results.failed.items()]
            document = {**self.form.document(entries, model), "made_by": dict(self.made_by), "failed": failed}
            with atomic_path(self.json) as temporary, _text(temporary) as file:
                file.write(json_text(document))
        if self.csv:
            with atomic_path(self.csv) as temporary, _text(temporary) as file:
                writer = csv.writer(file)
                writer.writerow(self.form.columns)
                for entry in entries:
                    writer.writerows(map(spreadsheet_cell, row) for row in self.form.rows(entry))

    def _read_json(self) -> dict[str, Entry]:
        """Raises: UsageError if what is there was made by something else."""
        if self.json is None or not self.json.exists():
            return {}
        try:
            document = json.loads(self.json.read_text(encoding="utf-8"))
            made_by = document["made_by"]
            entries = {entry["file"]: entry for entry in self.form.entries_in(document)}
            different = [
                f"{key} {made_by.get(key)}" for key, value in self.made_by.items() if made_by.get(key) != value
            ]
        except (ValueError, KeyError, TypeError, AttributeError):
            raise UsageError(
                f"{self.json}: there already, and not what medssm {self.made_by['command']} writes; give --overwrite "
                "to write it anew, or another file"
            ) from None
        if different:
            raise UsageError(
                f"{self.json}: there already, made with {', '.join(different)}; give --overwrite to write it anew, or "
                "another file"
            )
        return entries

    def _check_csv(self) -> None:
        """Raises: UsageError if what is there holds more than the JSON does."""
        if self.csv is None or not self.csv.exists():
            return
        with open(self.csv, newline="", encoding="utf-8", errors="surrogateescape") as file:
            rows = list(csv.reader(file))
        files = {cell for row in rows[1:] for cell in row[:1]}
        if rows and not (tuple(rows[0]) == self.form.columns and files <= set(map(_as_written, self.known))):
            raise UsageError(
                f"{self.csv}: there already, with rows that no --json of this command has; give --overwrite to write "
                "it anew, or another file"
            )


def _as_written(file: str) -> str:
    """A file's name as it stands in the CSV."""
    return str(spreadsheet_cell(file)).encode("utf-8", "backslashreplace").decode("utf-8")


def _text(path: Path) -> Any:
    """A file for text, in which names that are no text stand escaped."""
    return open(path, "w", newline="", encoding="utf-8", errors="backslashreplace")
