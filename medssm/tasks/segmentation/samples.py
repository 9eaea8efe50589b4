"""Which scans train and which validate, and whether their labels are what the network can learn."""

import hashlib
from pathlib import Path
from typing import NamedTuple

import torch

from medssm.data.layouts import LAYOUTS
from medssm.data.layouts.scans.dataset import load_dataset
from medssm.data.layouts.scans.splits import lacking_side
from medssm.data.scans.cache import PreprocessedCases
from medssm.data.scans.cases import ScanDataset
from medssm.data.scans.channels import Channel
from medssm.data.scans.files_of import files_of_scan
from medssm.data.scans.labelled import IGNORED, undrawn_labels, unnamed_labels
from medssm.data.scans.laterality import find_sides
from medssm.data.scans.modality import foreign_channels, other_channels, unfit_window
from medssm.data.scans.plausibility import not_hounsfield, summarise_values
from medssm.data.scans.preprocessing import PUBLISHED_WINDOW, Preprocessing
from medssm.data.scans.scan import read_scan
from medssm.data.scans.transforms.candidates import NUM_LABELS
from medssm.data.scans.volume import Volume, read_volume
from medssm.data.synthetic.phantom import cached_phantom
from medssm.errors import DataError, UsageError, one_line
from medssm.files import file_sha256
from medssm.tasks.segmentation.settings import SegmentationRecipe


def open_scans(recipe: SegmentationRecipe, fold: int | None = None) -> ScanDataset:
    """The dataset that a recipe names.

    Args:
        fold: the split where the recipe names none; None for the first.

    Raises: UsageError if it names none; DataError if there is none or it has nothing to train or validate on.
    """
    data = recipe.data
    if data.folder is None:
        where = f". {LAYOUTS['btcv'].where}" if recipe.name == "btcv" else "; give --data DIR, or --data phantom"
        raise UsageError(f"no dataset was given{where}")
    folder = cached_phantom(data.phantom_cases) if data.folder == "phantom" else Path(data.folder)
    dataset = load_dataset(folder, (fold or 0) if data.fold is None else data.fold)
    if lacking := lacking_side(dataset):
        raise DataError(f"{dataset.source}: {lacking}")
    return dataset


def scan_digest(*channels: Path) -> str:
    """What tells a scan from others wherever it lies and whatever its files are called: a hash of all they hold.

    Weights from before this was so hold hashes of the beginning of one file, which scans can have in common; the cases
    that those were trained on are not recognised.
    """
    hashes = sorted(file_sha256(file) for channel in channels for file in files_of_scan(channel))
    return hashlib.sha256("".join(hashes).encode()).hexdigest()[:16]


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


def named_channels(dataset: ScanDataset, preprocessing: Preprocessing) -> Preprocessing:
    """The preprocessing with the channels of a dataset, by their names, and in its order.

    What a recipe says of one channel is for a dataset of one, whatever that is called.

    Raises: UsageError if the dataset has other channels.
    """
    names, said = dataset.channel_names, preprocessing.channels
    if not names:
        return preprocessing
    by_name = {channel.name.casefold(): channel for channel in said}
    if len(by_name) == len(said) and set(by_name) == {name.casefold() for name in names}:
        said = tuple(by_name[name.casefold()] for name in names)
    elif len(said) != 1 or len(names) != 1:
        raise UsageError(f"{dataset.source}: {other_channels(names, preprocessing.channel_names)}")
    channels = [channel.model_copy(update={"name": name}) for channel, name in zip(said, names, strict=True)]
    return preprocessing.model_copy(update={"channels": tuple(channels)})


def check_windows(dataset: ScanDataset, preprocessing: Preprocessing) -> list[str]:
    """What a user should know of the dataset's values and the windows that they are clipped to, a sentence each.

    Args:
        preprocessing: `named_channels`.

    Raises: UsageError if images are no CT by their channel's name, but would be clipped to BTCV's window of Hounsfield
        units, which nobody chose for them.
    """
    first = read_scan(dataset.training[0].images, preprocessing.channel_names).channels
    pairs = zip(preprocessing.channels, first, strict=True)
    return [said for channel, volume in pairs if (said := _said_of(channel, volume, dataset))]


def _said_of(channel: Channel, volume: Volume, dataset: ScanDataset) -> str:
    """What a user should know of one channel; "" if all is well. Raises: as `check_windows`."""
    window = channel.normalisation.window
    if window is None:
        return ""
    low, high = window
    is_foreign = bool(dataset.channel_names and foreign_channels([channel.name]))
    if is_foreign and channel.normalisation == PUBLISHED_WINDOW:
        raise UsageError(f"{dataset.source}: {unfit_window(channel.name, volume)}")
    if is_foreign:
        return f"the images are {channel.name}: what is below {low:g} or above {high:g} in them is not told apart"
    strange = not_hounsfield(summarise_values(volume.array), volume.modality) if low < 0 else ""
    if not strange:
        return ""
    return (
        f"beware: {volume.path}: {strange}; the window of {low:g} to {high:g} is one of Hounsfield units; give another "
        "by --set data.preprocessing.intensity=[low,high]"
    )


def number_of_classes(given: int | None, dataset: ScanDataset) -> int:
    """How many classes a network needs for the labels of a dataset, with the background.

    Raises: UsageError if another number is given.
    """
    needed = max(dataset.label_names, default=0) + 1
    if given not in (None, needed):
        raise UsageError(
            f"{dataset.source}: names labels up to {needed - 1}, which are {needed} classes with the background, but "
            f"model.num_classes is {given}; leave it out, or give --set model.num_classes={needed}"
        )
    if needed < 2:
        raise DataError(f"{dataset.source}: 'labels' names nothing but the background; name what is to be segmented")
    return needed


def check_classes(num_classes: int, dataset: ScanDataset) -> None:
    """Raises UsageError if the dataset names labels that a trained model of so many classes does not have."""
    highest = max(dataset.label_names, default=0)
    if highest >= num_classes:
        raise UsageError(
            f"{dataset.source}: names labels up to {highest}, but the weights have {num_classes} classes; give weights "
            "that were trained on this dataset"
        )


class LabelCounts(NamedTuple):
    """The labels of cases.

    Attributes:
        voxels: label value -> voxels on the network's grid, background included.
        in_files: likewise in the files.
        cases: label value -> cases that have it in their files.
        remarks: what a user should know of them.
    """

    voxels: dict[int, int]
    in_files: dict[int, int]
    cases: dict[int, int]
    remarks: list[str]


def count_voxels(cases: PreprocessedCases, dataset: ScanDataset) -> LabelCounts:
    """The labels of preprocessed cases of a dataset.

    Raises: DataError if a case holds a label that the dataset does not name.
    """
    voxels, in_files, having = (torch.zeros(NUM_LABELS, dtype=torch.int64) for _ in range(3))
    remarks = []
    for place, case in enumerate(cases):
        file = cases.cases[place].reference
        here, stored = case.centres.organ_counts, case.stored_counts
        held = stored.nonzero().flatten().tolist()
        wrong = unnamed_labels(held, dataset.label_names, IGNORED)
        if wrong := wrong or undrawn_labels(held, dataset.label_names, case.annotated):
            raise DataError(f"{file}: {wrong} (medssm data check {dataset.folder} lists all)")
        gone = ((stored > 0) & (here == 0)).nonzero().flatten().tolist()
        if lost := [dataset.label_names[label] for label in gone if label in dataset.label_names]:
            remarks.append(f"{file}: {', '.join(lost)} is too small for the grid: no voxel is left of it there")
        voxels += here
        voxels[0] += int((case.reference == 0).sum())
        in_files += stored
        having += stored > 0
    on_grid, stored_in, holding = (dict(enumerate(counts.tolist())) for counts in (voxels, in_files, having))
    return LabelCounts(on_grid, stored_in, holding, remarks)


def check_organs(counts: LabelCounts, dataset: ScanDataset, spacing: tuple[float, float, float]) -> list[str]:
    """What a user should know of the labels that are to be learnt.

    Raises: DataError if there is nothing to learn.
    """
    names, grid = dataset.label_names, " x ".join(f"{side:g}" for side in spacing)
    if not any(counts.in_files[label] for label in names):
        raise DataError(
            f"{dataset.source}: none of the {len(dataset.training)} cases to train on has a labelled voxel, so nothing "
            "is to be learnt; correct the label maps or their list"
        )
    if not any(counts.voxels[label] for label in names):
        case = dataset.training[0]
        finer = ",".join(f"{side:.3g}" for side in read_volume(case.image).spacing)
        raise DataError(
            f"{dataset.source}: all that is labelled is too small for a grid of {grid} mm and lost there; give a finer "
            f"one, such as that of {case.image.name} with --set data.preprocessing.spacing=[{finer}]"
        )
    never = [name for label, name in names.items() if not counts.in_files[label]]
    said = [f"no case to train on has {', '.join(never)}: it cannot be learnt"] if never else []
    number = len(dataset.training)
    drawn = {label: sum(c.annotated is None or label in c.annotated for c in dataset.training) for label in names}
    partly = [
        f"{name} in {counts.cases[label]}{f' of {drawn[label]}' * (drawn[label] < number)}"
        for label, name in names.items()
        if 0 < counts.cases[label] < drawn[label]
    ]
    if partly:
        where = one_line(", ".join(partly), 200)
        said.append(
            f"of {number} cases to train on, {where}: where an organ is not labelled it is learnt as background, "
            "unless the list says which labels were drawn in a case ('annotated')"
        )
    return said + _shortened([f"{remark} ({grid} mm)" for remark in counts.remarks])


def _shortened(remarks: list[str], longest: int = 3) -> list[str]:
    more = [f"... and {len(remarks) - longest} more cases"] if len(remarks) > longest else []
    return remarks[:longest] + more
