"""The check of a dataset of scans: its list, then every case, one in memory at a time."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from medssm.data.layouts.findings import DataReport, Remark
from medssm.data.layouts.scans.check_images import check_image, read_checked, scan_checked, voxel_statistics
from medssm.data.layouts.scans.check_labels import check_label, check_pair
from medssm.data.layouts.scans.check_lists import check_list
from medssm.data.layouts.scans.dataset import read_datalist
from medssm.data.scans.cases import ScanCase, ScanDataset
from medssm.data.scans.labelled import IGNORED, learnt_labels, read_labels, undrawn_labels
from medssm.data.scans.modality import foreign_channels, other_channels, unfit_window
from medssm.data.scans.organ_masks import labels_of
from medssm.data.scans.preprocessing import Preprocessing
from medssm.data.scans.scan import Scan
from medssm.data.scans.volume import Volume
from medssm.errors import DataError, without_path


def check_scan_dataset(folder: Path, fold: int, progress: Callable[[int, int], None]) -> DataReport:
    """Everything that is wrong with the scans in `folder` and their list, each file once read.

    Args:
        fold: as for `load_dataset`.
        progress: called with the number of cases done and their total.

    Raises: DataError if the list cannot be understood; UsageError if there is no such fold.
    """
    dataset = read_datalist(folder, fold)
    counts = {part: len(getattr(dataset, part)) for part in ("training", "validation", "test")}
    check = _Check(dataset)
    findings = (*check_list(dataset), *check.cases(progress), *check.organs())
    return DataReport(dataset.name, dataset.folder, counts, tuple(dict.fromkeys(findings)))


class _Check:
    """The cases of a dataset, and what one of them alone does not tell."""

    def __init__(self, dataset: ScanDataset) -> None:
        self.dataset = dataset
        self.first_with: dict[str, Path] = {}  # a hash of a scan's voxels -> the first file that holds them
        self.found: dict[ScanCase, set[int]] = {}  # the organs of the cases whose labels can be read

    def cases(self, progress: Callable[[int, int], None]) -> Iterator[Remark]:
        """What is wrong with each case."""
        cases = list(dict.fromkeys(self.dataset.cases))
        for done, case in enumerate(cases):
            progress(done, len(cases))
            yield from self._case(case)
        progress(len(cases), len(cases))

    def organs(self) -> Iterator[Remark]:
        """Organs that no case has; to be asked when all cases are done."""
        for part, cases in (("trains", self.dataset.training), ("validates", self.dataset.validation)):
            if not cases or any(case not in self.found for case in cases):
                continue  # what the others hold is not known
            found = set[int]().union(*(self.found[case] for case in cases))
            missing = [name for label, name in self.dataset.label_names.items() if label not in found]
            if not found:
                is_note = part == "validates"
                yield Remark(self.dataset.source, "no-organ", f"no case that {part} has a labelled voxel", is_note)
            elif missing:
                message = f"no case that {part} has {', '.join(missing)}"
                yield Remark(self.dataset.source, "missing-organ", message, is_note=True)

    def _case(self, case: ScanCase) -> Iterator[Remark]:
        scan = None
        names = self.dataset.channel_names
        if all(image.exists() for image in case.images):
            scan, findings = scan_checked(case, names)
            yield from findings
        if scan is not None:
            if case in self.dataset.training[:1]:
                yield from self._window(scan)
            for place, volume in enumerate(scan.channels):
                yield from self._channel(volume, names[place : place + 1])
        if case.label is not None and all(file.exists() for file in case.label_files):
            yield from self._labels(case, scan.first if scan else None)

    def _window(self, first: Scan) -> Iterator[Remark]:
        """What the published recipe refuses; a note, since other recipes train on it."""
        names, said = self.dataset.channel_names, Preprocessing().channel_names
        if len(names) > len(said):
            refusal = other_channels(names, said)
        else:
            refusal = "".join(map(unfit_window, names, first.channels))
        if refusal:
            message = f"`medssm train btcv` refuses it: {refusal}"
            yield Remark(self.dataset.source, "modality", message, is_note=True)

    def _channel(self, volume: Volume, name: Sequence[str]) -> Iterator[Remark]:
        """What is wrong with the voxels of a channel, of this name if it has one."""
        path, statistics = volume.path, voxel_statistics(volume.array)
        yield from check_image(path, statistics, volume.modality, is_ct=not foreign_channels(name))
        first = self.first_with.setdefault(statistics.digest, path)
        if first.resolve() != path.resolve():
            yield Remark(path, "same-scan", f"holds the same voxels as {first}; keep one of them")

    def _labels(self, case: ScanCase, image: Volume | None) -> Iterator[Remark]:
        findings: list[Remark] = []
        label = None
        if not case.masks:
            label, findings = read_checked(case.reference)
        if label is not None:
            findings += check_label(case.reference, label.array, self.dataset.label_names, case.ignored)
            findings += check_pair(case.reference, label, image) if image is not None else ()
        yield from findings
        if image is None or any(not finding.is_note for finding in findings if finding.kind != "float-labels"):
            return
        try:
            learnt = (
                learnt_labels(labels_of(label).turned_like(image), case.ignored) if label else read_labels(case, image)
            )
        except (DataError, OSError) as error:
            yield Remark(case.reference, "unusable", without_path(case.reference, error))
            return
        values = np.flatnonzero(np.bincount(learnt.ravel(order="K"))).tolist()
        if undrawn := undrawn_labels(values, self.dataset.label_names, case.annotated):
            yield Remark(case.reference, "undrawn-label", undrawn)
        self.found[case] = set(values) - {0, IGNORED}
