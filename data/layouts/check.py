"""The check of a dataset of any known layout."""

from pathlib import Path

from medssm.data.layouts import LAYOUTS, Progress, known_looks
from medssm.data.layouts.findings import DataReport
from medssm.errors import DataError


def check_dataset(folder: str | Path, fold: int = 0, progress: Progress = lambda done, total: None) -> DataReport:
    """Everything that is wrong with the dataset in `folder`, of scans, images or videos, each file once read.

    Args:
        folder: of the dataset, or a list in JSON that lies in it.
        fold: as for `load_dataset`; images have none.
        progress: called with the number of cases or images done and their total.

    Raises: DataError if there is no dataset in `folder` or its list cannot be understood.
    """
    folder = Path(folder)
    if not folder.exists() or (folder.is_file() and folder.suffix != ".json"):
        raise DataError(f"{folder}: is no folder; give that of a dataset")
    for place in (folder,) if folder.is_dir() else folder.absolute().parents[:2]:
        for layout in LAYOUTS.values():
            reader = layout.reader()
            if reader.find(place, fold):
                return reader.check(place, fold, progress)
    raise DataError(f"{folder}: no dataset here, neither {known_looks()}")
