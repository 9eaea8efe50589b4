"""BraTS, a folder a case with a file for each kind of MR and one for the tumour: B_0/B_0_t1.nii.gz, B_0/B_0_seg.nii.gz.

Sources: Baid et al. 2021 (arXiv:2107.02314), whose labels are 1, 2 and 4; from 2023 on (arXiv:2305.17033) 4 became 3.
"""

import re
from pathlib import Path

from medssm.data.layouts.folders import folders_in
from medssm.data.layouts.scans.declared import Declared, Parts, dataset_of, declared_beside
from medssm.data.layouts.scans.layout import volumes_in
from medssm.data.layouts.scans.splits import with_split
from medssm.data.scans.cases import ScanCase, ScanDataset
from medssm.data.scans.volume import volume_stem

_KINDS = ("t1", "t1n", "t1ce", "t1c", "t2", "t2w", "flair", "t2f")
_NAME = re.compile(rf"(?P<case>.*brats.*)[-_](?P<kind>{'|'.join(_KINDS)}|seg)", re.IGNORECASE)
_BEFORE_2023 = Declared({1: "necrotic core", 2: "edema", 4: "enhancing tumor"})
_SINCE_2023 = Declared({1: "necrotic core", 2: "edema", 3: "enhancing tumor"})


def find_brats(folder: Path, fold: int) -> Path | None:
    """The folder itself if one of its folders has the files of a case with its label map."""
    return folder if any(case.label for case in _cases(folder)) else None


def read_brats(folder: Path, fold: int) -> ScanDataset:
    """The cases that have a label map train; what has none is to test.

    Raises: DataError if the cases have other channels than each other, or a dataset.json beside them cannot be
        understood; UsageError if there is no such fold.
    """
    cases = _cases(folder)
    parts: Parts = {
        "training": [case for case in cases if case.label],
        "test": [case for case in cases if not case.label],
    }
    known = _SINCE_2023 if all(case.id.lower().startswith("brats-") for case in cases) else _BEFORE_2023
    return with_split(dataset_of(declared_beside(folder, known), folder.resolve().name, folder, parts), fold)


def _cases(root: Path) -> list[ScanCase]:
    cases = []
    for folder in folders_in(root):
        matches = [(_NAME.fullmatch(volume_stem(file)), file) for file in volumes_in(folder)]
        files = {match["kind"].lower(): file for match, file in matches if match}
        images = [files[kind] for kind in _KINDS if kind in files]
        if len(images) > 1:
            cases.append(ScanCase(folder.name, images[0], files.get("seg"), further=tuple(images[1:])))
    return cases
