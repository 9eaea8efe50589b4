"""The classes of many images or videos, as tables."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from medssm.tasks.batch import FileResults, Watch, run_on_files
from medssm.tasks.classifier import Candidate, Classifier
from medssm.tasks.tables import TableForm, Tables
from medssm.tasks.under_way import Entry, UnderWay


class ClassTable(TableForm[list[Candidate]]):
    """The likeliest classes of each file."""

    columns = ("file", *Candidate._fields)

    def entry(self, file: Path, found: list[Candidate]) -> Entry:
        return {"file": str(file), "classes": [candidate._asdict() for candidate in found]}

    def rows(self, entry: Entry) -> Iterator[tuple[Any, ...]]:
        yield from ((entry["file"], *candidate.values()) for candidate in entry["classes"])


def classify_files(
    classifier: Classifier,
    files: Sequence[Path],
    top: int = 5,
    watch: Watch[list[Candidate]] | None = None,
    *,
    tables: Tables[list[Candidate]] | None = None,
    under_way: UnderWay | None = None,
) -> FileResults[list[Candidate]]:
    """The `top` likeliest classes of each file that `tables` lack; one that fails does not stop the others."""

    def skip(file: Path) -> str | None:
        return tables.why_known(file) if tables else None

    return run_on_files(
        files,
        lambda file, _: classifier.classify(file).top(top),
        watch,
        skip=skip,
        under_way=under_way,
        try_crashed=tables is not None and tables.overwrite,
        entry=ClassTable().entry,
    )
