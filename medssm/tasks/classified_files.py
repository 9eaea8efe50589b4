"""The classes of many images or videos, as tables."""

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from medssm.files import atomic_path
from medssm.tasks.classifier import Candidate, Classifier
from medssm.tasks.files import failures, run_on_files


@dataclass
class ClassifiedFiles:
    """The likeliest classes of each file; a sentence for each that failed."""

    classes: dict[Path, list[Candidate]] = field(default_factory=dict)
    failed: dict[Path, str] = field(default_factory=dict)

    def write_csv(self, path: str | Path) -> None:
        """A row for each file and class; files that failed are left out."""
        with atomic_path(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(("file", *Candidate._fields))
            writer.writerows((source, *candidate) for source, found in self.classes.items() for candidate in found)

    def write_json(self, path: str | Path, model: str) -> None:
        """The model, an entry for each file with its classes, and one for each that failed with the reason."""
        files = [
            {"file": str(source), "classes": [candidate._asdict() for candidate in found]}
            for source, found in self.classes.items()
        ]
        with atomic_path(path) as temporary:
            content = {"model": model, "files": files, "failed": failures(self.failed)}
            temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def classify_files(
    classifier: Classifier, files: Sequence[Path], top: int = 5, progress: Callable[[int, int], None] = lambda *_: None
) -> ClassifiedFiles:
    """The `top` likeliest classes of each file; one that fails does not stop the others.

    Args:
        progress: called with (files done, files).
    """
    results = run_on_files(files, lambda file: classifier.classify(file).top(top), progress)
    return ClassifiedFiles(results.found, results.failed)
