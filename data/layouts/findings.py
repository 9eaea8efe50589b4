"""What a check of a dataset reports."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Remark:
    """One thing about one file.

    Attributes:
        file: where it is.
        kind: a short name that stays the same, such as "affine".
        message: what was found and what to do.
        is_note: worth knowing, but nothing that must be mended before training.
    """

    file: Path
    kind: str
    message: str
    is_note: bool = False


@dataclass(frozen=True)
class DataReport:
    """All that a check found.

    Attributes:
        name: the dataset's.
        folder: where it lies.
        counts: how many cases each part has, such as {"training": 24}.
    """

    name: str
    folder: Path
    counts: dict[str, int]
    findings: tuple[Remark, ...]

    @property
    def faults(self) -> tuple[Remark, ...]:
        """What must be mended."""
        return tuple(finding for finding in self.findings if not finding.is_note)

    @property
    def notes(self) -> tuple[Remark, ...]:
        """What is worth knowing."""
        return tuple(finding for finding in self.findings if finding.is_note)

    def as_json(self) -> dict[str, Any]:
        """The report as plain lists and strings."""
        return {
            "name": self.name,
            "folder": str(self.folder),
            "cases": self.counts,
            "faults": [_as_json(finding) for finding in self.faults],
            "notes": [_as_json(finding) for finding in self.notes],
        }


def _as_json(finding: Remark) -> dict[str, str]:
    return {"file": str(finding.file), "kind": finding.kind, "message": finding.message}
