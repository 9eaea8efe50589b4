"""Which cases a dataset folder has, and which of them train and which validate."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from medssm.data.layouts import offered_dataset
from medssm.data.layouts.scans.brats import find_brats, read_brats
from medssm.data.layouts.scans.btcv import find_btcv, read_btcv
from medssm.data.layouts.scans.decathlon import find_decathlon, read_decathlon
from medssm.data.layouts.scans.kits import find_kits, read_kits
from medssm.data.layouts.scans.layout import list_in
from medssm.data.layouts.scans.masks import find_masks, read_masks
from medssm.data.layouts.scans.nnunet import find_nnunet, read_nnunet
from medssm.data.layouts.scans.pairs import find_pairs, read_pairs
from medssm.data.layouts.scans.table import find_table, read_table
from medssm.data.scans.cases import ScanDataset
from medssm.errors import DataError


class ScanLayout(NamedTuple):
    """How a dataset of scans is found in a folder, and read from what was found; a fold chooses a split, from 0."""

    find: Callable[[Path, int], Path | None]
    read: Callable[[Path, int], ScanDataset]


# By the names of their rows in LAYOUTS and in their order: nnU-Net's list is a list as well, a folder with a list may
# have folders of any kind, and names tell least.
SCAN_LAYOUTS: dict[str, ScanLayout] = {
    "nnunet": ScanLayout(find_nnunet, read_nnunet),
    "decathlon": ScanLayout(find_decathlon, read_decathlon),
    "table": ScanLayout(find_table, read_table),
    "btcv": ScanLayout(find_btcv, read_btcv),
    "brats": ScanLayout(find_brats, read_brats),
    "kits": ScanLayout(find_kits, read_kits),
    "totalsegmentator": ScanLayout(find_masks, read_masks),
    "pairs": ScanLayout(find_pairs, read_pairs),
}


def load_dataset(folder: str | Path, fold: int = 0) -> ScanDataset:
    """The dataset in `folder`, every file of which that trains or validates exists.

    The list's own split is used; where it has none, the published 24/6 for BTCV's names, `splits_final.json` for
    nnU-Net, the cases' own folds, else one of five folds of patients that a hash of their names makes and that
    therefore never change.

    Args:
        folder: of the dataset, or the list that describes it, in JSON or CSV.
        fold: which split.

    Raises: DataError in one sentence if there is no dataset, or a listed file is missing; UsageError if there is no
        such fold.
    """
    dataset = read_datalist(folder, fold)
    if not dataset.training:
        raise DataError(f"{dataset.source}: lists no case to train on; add cases to 'training'")
    used = dataset.training + dataset.validation
    files = [file for case in used for file in (*case.images, *case.label_files)]
    if missing := [file for file in files if not file.exists()]:
        raise DataError(
            f"{dataset.source}: {len(missing)} of {len(files)} listed files are missing, first {missing[0]}; "
            f"copy them there (medssm data check {dataset.folder} lists all)"
        )
    if unlabelled := [case for case in used if case.label is None]:
        raise DataError(f"{dataset.source}: {len(unlabelled)} cases have no label, first {unlabelled[0].id}; add them")
    if both := {case.image for case in dataset.training} & {case.image for case in dataset.validation}:
        raise DataError(
            f"{dataset.source}: {len(both)} cases are in training and in validation, first {min(both)}; keep them in "
            "one of them"
        )
    return dataset


def read_datalist(folder: str | Path, fold: int = 0) -> ScanDataset:
    """The dataset as its list or its folders say, whether the files exist or not.

    Raises: DataError if there is no dataset, or its list cannot be understood; UsageError if there is no such fold.
    """
    folder = Path(folder)
    if not folder.is_dir() and not (folder.is_file() and folder.suffix in (".json", ".csv")):
        raise DataError(f"{folder}: no such folder; give a dataset's, or try --data phantom, which needs no download")
    if offered := offered_dataset("scans", folder, fold):
        return offered
    for layout in SCAN_LAYOUTS.values():
        if path := layout.find(folder, fold):
            return layout.read(path, fold)
    if path := folder if folder.is_file() else list_in(folder, fold):
        raise DataError(f"{path}: lists no case; list images and label maps in 'training'")
    raise DataError(
        f"{folder}: no scans with label maps here; lay them out as imagesTr/a.nii.gz and labelsTr/a.nii.gz beside a "
        "dataset.json that names the labels, or try --data phantom, which needs no download"
    )
