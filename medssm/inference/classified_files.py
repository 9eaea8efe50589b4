"""Many images or videos one after the other: which files are meant, which failed, and the classes as tables."""

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from medssm.errors import DataError, MedssmError
from medssm.files import atomic_path
from medssm.inference.batch import failure_sentence
from medssm.inference.classification import Candidate, Classifier
from medssm.inference.views import Views

MORE_MEMORY = "close other programs, or give --device cpu"


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
        failed = [{"file": str(source), "error": sentence} for source, sentence in self.failed.items()]
        with atomic_path(path) as temporary:
            content = {"model": model, "files": files, "failed": failed}
            temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def find_files(inputs: Iterable[Path], views: Views) -> list[Path]:
    """Every file once: those named, whatever they are, and those in folders, and in folders below, that `views` takes.

    Raises: DataError for a folder without any.
    """
    first: dict[Path, Path] = {}
    for path in inputs:
        for file in _files_of(path, views):
            first.setdefault(file.resolve(), file)
    return list(first.values())


def classify_files(
    classifier: Classifier, files: Sequence[Path], top: int = 5, progress: Callable[[int, int], None] = lambda *_: None
) -> ClassifiedFiles:
    """The `top` likeliest classes of each file; one that fails does not stop the others.

    Args:
        progress: called with (files done, files).
    """
    found = ClassifiedFiles()
    for done, file in enumerate(files):
        progress(done, len(files))
        try:
            found.classes[file] = classifier.classify(file).top(top)
        except (MedssmError, OSError, RuntimeError) as error:
            found.failed[file] = failure_sentence(file, error, MORE_MEMORY)
    progress(len(files), len(files))
    return found


def _files_of(path: Path, views: Views) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    found = [file for file in sorted(path.rglob("*")) if file.is_file() and views.takes(file)]
    if not found:
        raise DataError(f"{path}: holds no {views.kind} file; name one, or another folder")
    yield from found
