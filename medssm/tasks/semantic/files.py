"""The label maps of many photographs: a PNG and an overlay of each, and what share each class has as a table."""

import csv
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from medssm.files import atomic_path
from medssm.tasks.files import FileResults, failures, run_on_files
from medssm.tasks.semantic.runner import LabelMap, SemanticSegmenter
from medssm.viewing.label_maps import ClassShare

_QUALITY = 92
COLUMNS = ("file", "label", "class", "share", "pixels")


class Outputs(NamedTuple):
    """Where the label map of a photograph is written, and where a picture of it; None for nowhere."""

    labels: Path
    overlay: Path | None = None


@dataclass(frozen=True)
class LabelsOfFile:
    """What is kept of a photograph's label map when its pixels are let go.

    Attributes:
        size: (H, W) in pixels, upright.
    """

    size: tuple[int, int]
    shares: list[ClassShare]


@dataclass
class LabelledFiles:
    """The classes of each file; a sentence for each that failed.

    Labels are numbered as in the PNGs: 1 is the first class.

    Attributes:
        model: the name of the backbone.
    """

    model: str
    outputs: Mapping[Path, Outputs]
    results: FileResults[LabelsOfFile]

    def write_json(self, path: str | Path) -> None:
        """The model, an entry for each file with its classes, and one for each that failed with the reason."""
        files = [
            {
                "file": str(source),
                "labels": str(self.outputs[source].labels),
                "height": found.size[0],
                "width": found.size[1],
                "classes": [_row(share) for share in found.shares],
            }
            for source, found in self.results.found.items()
        ]
        content = {"model": self.model, "files": files, "failed": failures(self.results.failed)}
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    def write_csv(self, path: str | Path) -> None:
        """A row for each file and class that is on it; files that failed are left out."""
        with atomic_path(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            for source, found in self.results.found.items():
                writer.writerows({"file": str(source), **_row(share)} for share in found.shares)


def label_files(
    segmenter: SemanticSegmenter,
    outputs: Mapping[Path, Outputs],
    window: int | None = None,
    keep_size: bool = False,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> LabelledFiles:
    """The label map of each file, written as it is found; one that fails does not stop the others.

    Args:
        window, keep_size: as for `SemanticSegmenter.segment`.
        progress: called with (files done, files).
    """

    def run(file: Path) -> LabelsOfFile:
        found = segmenter.segment(file, window=window, keep_size=keep_size)
        found.save(outputs[file].labels)
        if picture := outputs[file].overlay:
            _write_overlay(picture, found)
        height, width = found.labels.shape
        return LabelsOfFile((height, width), found.shares)

    return LabelledFiles(segmenter.model, outputs, run_on_files(list(outputs), run, progress))


def _write_overlay(path: Path, found: LabelMap) -> None:
    with atomic_path(path) as temporary:
        Image.fromarray(found.overlay()).save(temporary, quality=_QUALITY)


def _row(share: ClassShare) -> dict[str, str | int | float]:
    return {"label": share.label + 1, "class": share.name, "share": round(share.share, 6), "pixels": share.pixels}
