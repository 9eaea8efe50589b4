"""The check of a dataset of any known layout."""

from pathlib import Path

from medssm.data.layouts import LAYOUTS, Progress, known_looks
from medssm.data.layouts.findings import DataReport
from medssm.errors import DataError


def check_dataset(folder: str | Path, fold: int = 0, progress: Progress = lambda done, total: None) -> DataReport:
    """Everything that is wrong with the dataset in `folder`, of scans, images or videos, each file once read.

    Args:
        fold: as for `load_dataset`; images have none.
        progress: called with the number of cases or images done and their total.

    Raises: DataError if there is no dataset in `folder` or its list cannot be understood.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder}: is no folder; give that of a dataset. {LAYOUTS['btcv'].where}")
    for layout in LAYOUTS.values():
        reader = layout.reader()
        if reader.find(folder, fold):
            return reader.check(folder, fold, progress)
    raise DataError(f"{folder}: no dataset here, neither {known_looks()}. {LAYOUTS['btcv'].where}")
