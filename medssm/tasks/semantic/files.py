"""The label maps of many photographs: a PNG and an overlay of each, and what share each class has as a table."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from medssm.files import atomic_path
from medssm.tasks.batch import FileResults, Teller, Watch, keeping, run_on_files
from medssm.tasks.semantic.runner import LabelMap, SemanticSegmenter
from medssm.tasks.tables import TableForm, Tables
from medssm.tasks.under_way import Entry, UnderWay
from medssm.viewing.label_maps import ClassShare

_QUALITY = 92


class Outputs(NamedTuple):
    """Where the label map of a photograph is written, and where a picture of it; None for nowhere."""

    labels: Path
    overlay: Path | None = None


@dataclass(frozen=True)
class LabelsOfFile:
    """What is kept of a photograph's label map when its pixels are let go.

    Attributes:
        size: (H, W) in pixels, upright.
        labels: where it was written.
    """

    size: tuple[int, int]
    labels: Path
    shares: list[ClassShare]


class ShareTable(TableForm[LabelsOfFile]):
    """What share of each file each class has; labels are numbered as in the PNGs: 1 is the first class."""

    columns = ("file", "label", "class", "share", "pixels")

    def entry(self, file: Path, found: LabelsOfFile) -> Entry:
        height, width = found.size
        place = {"file": str(file), "labels": str(found.labels), "height": height, "width": width}
        return {**place, "classes": [_row(share) for share in found.shares]}

    def rows(self, entry: Entry) -> Iterator[tuple[Any, ...]]:
        yield from ((entry["file"], *row.values()) for row in entry["classes"])


def label_files(
    segmenter: SemanticSegmenter,
    outputs: Mapping[Path, Outputs],
    window: int | None = None,
    keep_size: bool = False,
    watch: Watch[LabelsOfFile] | None = None,
    *,
    tables: Tables[LabelsOfFile] | None = None,
    under_way: UnderWay | None = None,
) -> FileResults[LabelsOfFile]:
    """The label map of each file whose outputs are not there yet, written as it is found.

    One that fails does not stop the others.

    Args:
        window, keep_size: as for `SemanticSegmenter.segment`.
        tables: what is known already.
    """
    overwrite = tables is not None and tables.overwrite

    def skip(file: Path) -> str | None:
        return tables.why_known(file, *outputs[file]) if tables else None

    def run(file: Path, _: Teller) -> LabelsOfFile:
        labels, overlay = outputs[file]
        found = segmenter.segment(file, window=window, keep_size=keep_size)
        if overwrite or not labels.exists():
            found.save(labels)
        height, width = found.labels.shape
        kept = LabelsOfFile((height, width), labels, found.shares)
        if overlay and (overwrite or not overlay.exists()):
            with keeping(kept):
                _write_overlay(overlay, found)
        return kept

    entry = ShareTable().entry
    return run_on_files(list(outputs), run, watch, skip=skip, under_way=under_way, try_crashed=overwrite, entry=entry)


def _write_overlay(path: Path, found: LabelMap) -> None:
    with atomic_path(path) as temporary:
        Image.fromarray(found.overlay()).save(temporary, quality=_QUALITY)


def _row(share: ClassShare) -> dict[str, str | int | float]:
    return {"label": share.label + 1, "class": share.name, "share": round(share.share, 6), "pixels": share.pixels}
