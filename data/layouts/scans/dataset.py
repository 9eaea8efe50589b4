"""Which cases a dataset folder has, and which of them train and which validate."""

from collections.abc import Callable
from pathlib import Path

from medssm.data.layouts import LAYOUTS
from medssm.data.layouts.scans.btcv import find_btcv, read_btcv
from medssm.data.layouts.scans.decathlon import find_decathlon, read_decathlon
from medssm.data.layouts.scans.nnunet import find_nnunet, read_nnunet
from medssm.data.scans.cases import ScanDataset
from medssm.errors import DataError

# In this order: nnU-Net's list is a list as well, and a folder with a list may have BTCV's folders.
_READERS: tuple[tuple[Callable[[Path, int], Path | None], Callable[[Path, int], ScanDataset]], ...] = (
    (find_nnunet, read_nnunet),
    (find_decathlon, read_decathlon),
    (find_btcv, read_btcv),
)


def load_dataset(folder: str | Path, fold: int = 0) -> ScanDataset:
    """The dataset in `folder`, every file of which exists.

    The list's own split is used; where it has none, the published 24/6 for BTCV's names, `splits_final.json` for
    nnU-Net, else a fifth of the cases, chosen by a hash of their names so that it never changes.

    Args:
        fold: which `dataset_<fold>.json` or which entry of `splits_final.json`.

    Raises: DataError in one sentence if there is no dataset, or a listed file is missing.
    """
    dataset = read_datalist(folder, fold)
    files = [file for case in dataset.cases for file in (case.image, case.label) if file]
    missing = [file for file in files if not file.exists()]
    if missing:
        raise DataError(
            f"{dataset.source}: {len(missing)} of {len(files)} listed files are missing, first {missing[0]}; "
            f"copy them there (medssm data check {dataset.folder} lists all)"
        )
    if not dataset.training:
        raise DataError(f"{dataset.source}: lists no case to train on; add cases to 'training'")
    if unlabelled := [case for case in dataset.training + dataset.validation if case.label is None]:
        raise DataError(f"{dataset.source}: {len(unlabelled)} cases have no label, first {unlabelled[0].id}; add them")
    return dataset


def read_datalist(folder: str | Path, fold: int = 0) -> ScanDataset:
    """The dataset as its list or its folders say, whether the files exist or not.

    Raises: DataError if there is no dataset, or its list cannot be understood.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder}: no such dataset folder. {LAYOUTS['btcv'].where}")
    for find, read in _READERS:
        if path := find(folder, fold):
            return read(path, fold)
    raise DataError(
        f"{folder}: no dataset here (no dataset.json and no imagesTr with labelsTr). {LAYOUTS['btcv'].where}"
    )
