"""KiTS, a folder a case: case_00000/imaging.nii.gz, case_00000/segmentation.nii.gz."""

from pathlib import Path

from medssm.data.layouts.folders import folders_in
from medssm.data.layouts.scans.declared import Declared, Parts, dataset_of, declared_beside
from medssm.data.layouts.scans.splits import with_split
from medssm.data.scans.cases import ScanCase, ScanDataset
from medssm.data.scans.finding import is_scan_file
from medssm.data.scans.volume import volume_stem

# Of KiTS21 and KiTS23; KiTS19 has no cysts.
_KITS = Declared({1: "kidney", 2: "tumor", 3: "cyst"}, channel_names=("CT",))
_ROOTS = ("", "data", "dataset")  # as the repositories of 2019 and of 2021 and 2023 have it


def find_kits(folder: Path, fold: int) -> Path | None:
    """The folder whose folders hold an imaging and a segmentation."""
    roots = (folder / root for root in _ROOTS)
    return next((root for root in roots if any(case.label for case in _cases(root))), None)


def read_kits(folder: Path, fold: int) -> ScanDataset:
    """The cases that have a segmentation train; what has only its imaging, as the second part of KiTS19, is to test.

    Raises: DataError if a dataset.json beside the cases cannot be understood; UsageError if there is no such fold.
    """
    cases = _cases(folder)
    parts: Parts = {
        "training": [case for case in cases if case.label],
        "test": [case for case in cases if not case.label],
    }
    return with_split(dataset_of(declared_beside(folder, _KITS), folder.resolve().name, folder, parts), fold)


def _cases(root: Path) -> list[ScanCase]:
    cases = []
    for folder in folders_in(root):
        files = {volume_stem(file).lower(): file for file in folder.iterdir() if is_scan_file(file)}
        if image := files.get("imaging"):
            cases.append(ScanCase(folder.name, image, files.get("segmentation")))
    return cases
