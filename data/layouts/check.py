"""The check of a dataset of any known layout."""

from collections.abc import Iterator
from pathlib import Path

from medssm.data.layouts import LAYOUTS, Layout, Progress, known_looks, offered_layouts
from medssm.data.layouts.coco.layout import coco_folder
from medssm.data.layouts.findings import DataReport
from medssm.errors import DataError


def check_dataset(folder: str | Path, fold: int = 0, progress: Progress = lambda done, total: None) -> DataReport:
    """Everything that is wrong with the dataset in `folder`, of scans, images or videos, each file once read.

    Args:
        folder: of the dataset, or the list that describes it, in JSON or CSV.
        fold: as for `load_dataset`; images have none.
        progress: called with the number of cases or images done and their total.

    Raises: DataError if there is no dataset in `folder` or its list cannot be understood.
    """
    folder = Path(folder)
    if not folder.exists() or (folder.is_file() and folder.suffix not in (".json", ".csv")):
        raise DataError(f"{folder}: is no folder; give that of a dataset")
    for place, rows in _places(folder):
        for layout in rows:
            reader = layout.reader()
            if reader.find(place, fold):
                return reader.check(place, fold, progress)
    raise DataError(f"{folder}: no dataset here, neither {known_looks()}")


def _places(folder: Path) -> Iterator[tuple[Path, list[Layout]]]:
    """Where a dataset may lie, and its layouts; a list is looked at itself for scans, for others its folders are."""
    if folder.is_dir():
        yield folder, [*offered_layouts().values(), *LAYOUTS.values()]
        return
    others = {name: row for name, row in LAYOUTS.items() if row.holds != "scans"}
    if (of_objects := coco_folder(folder)) is not None:
        yield of_objects, [others["coco"]]
    yield folder.absolute().parent, list(others.values())
    yield folder, [row for row in LAYOUTS.values() if row.holds == "scans"]
