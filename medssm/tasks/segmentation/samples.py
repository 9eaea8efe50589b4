"""Which scans train and which validate, and whether their labels are what the network can learn."""

import hashlib
from pathlib import Path

import torch

from medssm.data.layouts import LAYOUTS
from medssm.data.layouts.scans.dataset import load_dataset
from medssm.data.scans.cache import PreprocessedCases
from medssm.data.scans.cases import ScanDataset
from medssm.data.scans.laterality import find_sides
from medssm.data.synthetic.phantom import cached_phantom
from medssm.errors import DataError, UsageError
from medssm.tasks.segmentation.settings import DataSettings


def open_scans(data: DataSettings, fold: int | None = None) -> ScanDataset:
    """The dataset that a recipe names.

    Args:
        fold: the split where the recipe names none; None for the first.

    Raises: UsageError if it names none; DataError if there is none or it has nothing to train or validate on.
    """
    if data.folder is None:
        raise UsageError(f"no dataset was given. {LAYOUTS['btcv'].where}")
    folder = cached_phantom(data.phantom_cases) if data.folder == "phantom" else Path(data.folder)
    dataset = load_dataset(folder, (fold or 0) if data.fold is None else data.fold)
    if not dataset.training or not dataset.validation:
        raise DataError(
            f"{dataset.source}: lists {len(dataset.training)} training and {len(dataset.validation)} validation cases "
            "with labels; both are needed"
        )
    return dataset


def scan_digest(scan: Path) -> str:
    """What tells a scan from others wherever it lies: of its first file the size and the first MiB, hashed."""
    first = min(path for path in scan.rglob("*") if path.is_file()) if scan.is_dir() else scan
    with open(first, "rb") as file:
        return hashlib.sha256(b"%d" % first.stat().st_size + file.read(1 << 20)).hexdigest()[:16]


def exchanged_pairs(dataset: ScanDataset) -> tuple[tuple[int, int], ...]:
    """The label values that a mirror image exchanges, left with right.

    Raises: UsageError if a name speaks of a side and no other name is its partner: in mirror images it would be wrong.
    """
    sides = find_sides(dataset.label_names)
    if sides.alone:
        raise UsageError(
            f"{dataset.source}: names {', '.join(map(repr, sides.alone))} but no label for the other side, with which "
            "mirror images (augmentation.flips.x=swap) would exchange it; correct the names, or give "
            "--set augmentation.flips.x=off"
        )
    return sides.pairs


def check_channels(in_channels: int, dataset: ScanDataset) -> None:
    """Raises UsageError if a model takes another number of channels than the scans have, which is one."""
    if in_channels != 1:
        raise UsageError(
            f"{dataset.source}: its scans have one channel, but the model takes {in_channels}; leave out "
            "model.in_channels"
        )


def check_classes(num_classes: int, dataset: ScanDataset) -> None:
    """Raises UsageError if the dataset names labels that a model of so many classes does not have."""
    highest = max(dataset.label_names, default=0)
    if highest >= num_classes:
        raise UsageError(
            f"{dataset.source}: names labels up to {highest}, but the model has {num_classes} classes; "
            f"train one with --set model.num_classes={highest + 1}"
        )


def check_highest_label(highest: int, num_classes: int, file: Path | str) -> None:
    """Raises DataError if a label map holds a label that a model of so many classes does not have."""
    if highest >= num_classes:
        raise DataError(
            f"{file}: holds the label {highest}, but the model has {num_classes} classes; correct it or train one with "
            f"--set model.num_classes={highest + 1}"
        )


def count_voxels(cases: PreprocessedCases, num_classes: int) -> dict[int, int]:
    """Voxels of each label, background included.

    Raises: DataError if a case has no labelled voxel, or a label that the network has no class for.
    """
    counts = torch.zeros(256, dtype=torch.int64)
    for place, case in enumerate(cases):
        file = cases.cases[place].label or case.id
        if case.label is None or case.candidates is None or not len(case.candidates.organs):
            raise DataError(
                f"{file}: has no labelled voxel; correct it or take the case out of the list (medssm data check shows "
                "all such cases)"
            )
        check_highest_label(int(case.candidates.organ_counts.nonzero().max()), num_classes, file)
        counts += case.candidates.organ_counts
        counts[0] += case.label.numel() - len(case.candidates.organs)
    return dict(enumerate(counts.tolist()))
