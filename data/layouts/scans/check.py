"""The check of a dataset of scans: its list, then every case, one in memory at a time."""

from collections.abc import Callable, Iterator
from pathlib import Path

from medssm.data.layouts.findings import DataReport, Remark
from medssm.data.layouts.scans.check_images import check_image, read_checked, voxel_statistics
from medssm.data.layouts.scans.check_labels import check_label, check_pair
from medssm.data.layouts.scans.check_lists import check_list
from medssm.data.layouts.scans.dataset import read_datalist
from medssm.data.scans.cases import ScanCase, ScanDataset


def check_scan_dataset(folder: Path, fold: int, progress: Callable[[int, int], None]) -> DataReport:
    """Everything that is wrong with the scans in `folder` and their list, each file once read.

    Args:
        fold: as for `load_dataset`.
        progress: called with the number of cases done and their total.

    Raises: DataError if the list cannot be understood.
    """
    dataset = read_datalist(folder, fold)
    counts = {part: len(getattr(dataset, part)) for part in ("training", "validation", "test")}
    findings = (*check_list(dataset), *_check_cases(dataset, progress))
    return DataReport(dataset.name, dataset.folder, counts, tuple(dict.fromkeys(findings)))


def _check_cases(dataset: ScanDataset, progress: Callable[[int, int], None]) -> Iterator[Remark]:
    cases = list(dict.fromkeys(dataset.cases))
    seen: dict[str, Path] = {}
    for done, case in enumerate(cases):
        progress(done, len(cases))
        yield from _check_case(case, dataset.label_names, seen)
    progress(len(cases), len(cases))


def _check_case(case: ScanCase, names: dict[int, str], seen: dict[str, Path]) -> Iterator[Remark]:
    """The faults of one case; `seen` maps a scan's hash to the first file that held it, and is added to."""
    image = label = None
    if case.image.exists():
        image, findings = read_checked(case.image)
        yield from findings
    if image is not None:
        statistics = voxel_statistics(image.array)
        yield from check_image(case.image, statistics, image.modality)
        first = seen.setdefault(statistics.digest, case.image)
        if first.resolve() != case.image.resolve():
            yield Remark(case.image, "same-scan", f"holds the same voxels as {first}; keep one of them")
    if case.label is not None and case.label.exists():
        label, findings = read_checked(case.label)
        yield from findings
    if label is not None and case.label is not None:
        yield from check_label(case.label, label.array, names)
        if image is not None:
            yield from check_pair(case.label, label, image)
