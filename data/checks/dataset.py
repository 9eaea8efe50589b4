"""The check of a dataset: its list, then every case, one in memory at a time."""

from collections.abc import Callable, Iterator
from pathlib import Path

from medssm.data import action_sets
from medssm.data.ade20k.layout import find_scenes
from medssm.data.checks.action_sets import check_action_set
from medssm.data.checks.ade20k import check_scene_dataset
from medssm.data.checks.coco import check_coco_dataset
from medssm.data.checks.findings import Finding, Report
from medssm.data.checks.image_folders import check_image_dataset
from medssm.data.checks.images import check_image, read_checked, voxel_statistics
from medssm.data.checks.labels import check_label, check_pair
from medssm.data.checks.lists import check_list
from medssm.data.coco import layout as coco
from medssm.data.datalist import WHERE_BTCV_IS, Case, Dataset, is_scan_folder, read_datalist
from medssm.data.imagenet.layout import find_layout
from medssm.errors import DataError


def check_dataset(
    folder: str | Path, fold: int = 0, progress: Callable[[int, int], None] = lambda done, total: None
) -> Report:
    """Everything that is wrong with the dataset in `folder`, of scans, images or videos, each file once read.

    Args:
        fold: as for `load_dataset`; images have none.
        progress: called with the number of cases or images done and their total.

    Raises: DataError if there is no dataset in `folder` or its list cannot be understood.
    """
    folder = Path(folder)
    if folder.is_dir() and not is_scan_folder(folder, fold):
        if find_scenes(folder):
            return check_scene_dataset(folder, progress)
        if annotated := coco.find_layout(folder):
            return check_coco_dataset(folder, annotated, progress)
        if layout := action_sets.find_layout(folder):
            return check_action_set(folder, layout, progress)
        if find_layout(folder):
            return check_image_dataset(folder, progress)
        raise DataError(
            f"{folder}: no dataset here, neither scans (dataset.json, or imagesTr with labelsTr) nor images of classes "
            "(train/CLASS/*.jpg, val/CLASS/*.jpg), with objects (annotations/instances_train2017.json) or with label "
            "maps (images/training, annotations/training), nor videos with the lists of UCF-101, HMDB-51 or "
            "Kinetics-400. "
            f"{WHERE_BTCV_IS}"
        )
    dataset = read_datalist(folder, fold)
    counts = {part: len(getattr(dataset, part)) for part in ("training", "validation", "test")}
    findings = (*check_list(dataset), *_check_cases(dataset, progress))
    return Report(dataset.name, dataset.folder, counts, tuple(dict.fromkeys(findings)))


def _check_cases(dataset: Dataset, progress: Callable[[int, int], None]) -> Iterator[Finding]:
    cases = list(dict.fromkeys(dataset.cases))
    seen: dict[str, Path] = {}
    for done, case in enumerate(cases):
        progress(done, len(cases))
        yield from _check_case(case, dataset.label_names, seen)
    progress(len(cases), len(cases))


def _check_case(case: Case, names: dict[int, str], seen: dict[str, Path]) -> Iterator[Finding]:
    """The faults of one case; `seen` maps a scan's hash to the first file that held it, and is added to."""
    image = label = None
    if case.image.exists():
        image, findings = read_checked(case.image)
        yield from findings
    if image is not None:
        statistics = voxel_statistics(image.array)
        yield from check_image(case.image, statistics)
        first = seen.setdefault(statistics.digest, case.image)
        if first.resolve() != case.image.resolve():
            yield Finding(case.image, "same-scan", f"holds the same voxels as {first}; keep one of them")
    if case.label is not None and case.label.exists():
        label, findings = read_checked(case.label)
        yield from findings
    if label is not None and case.label is not None:
        yield from check_label(case.label, label.array, names)
        if image is not None:
            yield from check_pair(case.label, label, image)
