"""What became of each file of a command, as a JSON file for other programs."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import medssm
from medssm.checkpoints.loading import find_weights
from medssm.errors import UsageError
from medssm.files import atomic_path, file_sha256, json_text
from medssm.tasks.batch import FileResults

FORMAT = "medssm batch 1"


def sha256_of_weights(*chosen: Path) -> str:
    """Of the weights file, or of the best weights of a run folder, in hexadecimal digits; of several that of their own.

    Raises: CheckpointError for a folder without any; OSError if it cannot be read.
    """
    hashes = [file_sha256(find_weights(path)) for path in chosen]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(sorted(hashes)).encode()).hexdigest()


@dataclass(frozen=True)
class BatchReport:
    """The report that a command is to leave.

    Attributes:
        made_by: command, SHA-256 of the weights, settings.
        weights: the file or run folder, or several of them.
    """

    path: Path
    made_by: Mapping[str, Any]
    weights: Sequence[Path]
    begun: datetime

    @classmethod
    def to(cls, path: Path, made_by: Mapping[str, Any], *weights: Path) -> "BatchReport":
        """A report that begins now, in place of an earlier one.

        Raises: UsageError if something else is there.
        """
        if path.exists() and not _is_report(path):
            raise UsageError(f"{path}: there already, and no report of medssm's; name another file for --report")
        return cls(path, made_by, weights, datetime.now(timezone.utc))

    def write(self, files: Sequence[Path], results: FileResults[Any]) -> None:
        """Writes what became of the files.

        Raises: OSError of the file system.
        """
        ended = datetime.now(timezone.utc)
        document = {
            "format": FORMAT,
            "version": medssm.__version__,
            **self.made_by,
            "weights": ", ".join(map(str, self.weights)),
            "begun": self.begun.isoformat(timespec="seconds"),
            "seconds": round((ended - self.begun).total_seconds(), 3),
            "signal": results.signal,
            "counts": {"done": len(results.found), "skipped": len(results.skipped), "failed": len(results.failed)},
            "files": [_line(file, results) for file in files],
        }
        with atomic_path(self.path) as temporary:
            temporary.write_text(json_text(document), encoding="utf-8")


def _line(file: Path, results: FileResults[Any]) -> dict[str, Any]:
    status, why = _status(file, results)
    cost = results.costs.get(file)
    return {
        "file": str(file),
        "status": status,
        "why": why,
        "notes": results.notes.get(file, []),
        "seconds": round(cost.seconds, 3) if cost else None,
        "peak_memory_bytes": cost.peak_memory if cost else None,
    }


def _status(file: Path, results: FileResults[Any]) -> tuple[str, str]:
    if file in results.found:
        return "done", ""
    if file in results.failed:
        return "failed", results.failed[file]
    if file in results.skipped:
        return "skipped", results.skipped[file]
    return ("stopped" if file == results.stopped else "not begun"), ""


def _is_report(path: Path) -> bool:
    try:
        return bool(json.loads(path.read_text(encoding="utf-8"))["format"] == FORMAT)
    except (OSError, ValueError, KeyError, TypeError):
        return False
