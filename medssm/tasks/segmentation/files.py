"""Many scans one after the other: where outputs go, and what is there already."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from medssm.data.scans.formats.dicom.files import is_dicom
from medssm.data.scans.volume import find_volumes, output_path, volume_stem, volume_suffix, without_repeats
from medssm.errors import UsageError
from medssm.tasks.batch import FileResults, Teller, Watch, run_on_files
from medssm.tasks.segmentation.runner import Predictor, PredictSettings
from medssm.tasks.segmentation.statistics import write_statistics
from medssm.tasks.under_way import UnderWay

MORE_MEMORY = "give --memory with less than the machine has, or --device cpu"


class ScanFiles:
    """Scans: files of a format, or DICOM."""

    kind = "scan"

    def takes(self, path: Path) -> bool:
        return bool(volume_suffix(path)) or (path.is_file() and is_dicom(path))


@dataclass(frozen=True)
class Extras:
    """What is written beside the label map."""

    preview: bool = False
    statistics: bool = False
    probabilities: bool = False


@dataclass(frozen=True)
class Job:
    """One scan and its outputs; None for what was not asked for."""

    scan: Path
    labels: Path
    preview: Path | None = None
    statistics: tuple[Path, Path] | None = None
    probabilities: Path | None = None

    @property
    def outputs(self) -> list[Path]:
        """Every file that is wanted."""
        extras = (self.preview, *(self.statistics or ()), self.probabilities)
        return [self.labels, *(path for path in extras if path is not None)]


class OrgansOfScan(NamedTuple):
    """What is kept of a segmentation when its voxels are let go: organ -> volume in ml."""

    volumes_ml: Mapping[str, float]


def plan_jobs(inputs: Sequence[Path], out: Path | None, extras: Extras) -> list[Job]:
    """The scans that the inputs mean, with the names of their outputs.

    Args:
        inputs: scans, DICOM folders, or folders of these; what an earlier call wrote beside them is left out, and what
            is named twice, or slice by slice, counts once.
        out: a folder; for a single scan also a file; None writes beside each scan.

    Raises: UsageError if two scans would write the same file; DataError for a folder without scans.
    """
    scans = without_repeats(scan for path in inputs for scan in _scans_in(path))
    if out is not None and volume_suffix(out):
        if len(scans) != 1:
            raise UsageError(f"--out {out} is one file, but there are {len(scans)} scans; give a folder")
        return [_job(scans[0], out, extras)]
    jobs = [_job(scan, output_path(scan, out), extras) for scan in scans]
    first: dict[Path, Path] = {}
    for job in jobs:
        other = first.setdefault(job.labels.resolve(), job.scan)
        if other is not job.scan:
            raise UsageError(f"{other} and {job.scan} would both write {job.labels}; predict them into two folders")
    return jobs


def predict_scans(
    predictor: Predictor,
    jobs: Sequence[Job],
    settings: PredictSettings,
    watch: Watch[OrgansOfScan] | None = None,
    *,
    overwrite: bool = False,
    under_way: UnderWay | None = None,
) -> FileResults[OrgansOfScan]:
    """Predicts each scan whose outputs are not there yet; one that fails does not stop the others."""
    of_scan = {job.scan: job for job in jobs}

    def wanted(job: Job) -> list[Path]:
        return [path for path in job.outputs if overwrite or not path.exists()]

    return run_on_files(
        list(of_scan),
        lambda scan, tell: _predict(predictor, of_scan[scan], wanted(of_scan[scan]), settings, tell),
        watch,
        skip=lambda scan: None if wanted(of_scan[scan]) else f"{of_scan[scan].labels} is there already",
        under_way=under_way,
        try_crashed=overwrite,
        more_memory=MORE_MEMORY,
    )


def _predict(
    predictor: Predictor, job: Job, wanted: list[Path], settings: PredictSettings, tell: Teller
) -> OrgansOfScan:
    segmentation = predictor.predict(
        job.scan,
        settings,
        probabilities=job.probabilities if job.probabilities in wanted else None,
        announce=lambda estimate: tell.note(str(estimate)),
        progress=tell.progress,
    )
    if job.labels in wanted:
        segmentation.save(job.labels)
    if job.preview in wanted:
        segmentation.save_preview(job.preview)
    for path in job.statistics or ():
        if path in wanted:
            write_statistics(path, segmentation.statistics(), str(job.scan), segmentation.volume.notes)
    for note in segmentation.volume.notes:
        tell.note(note)
    return OrgansOfScan(segmentation.volumes_ml)


def _scans_in(path: Path) -> Iterator[Path]:
    found = find_volumes(path)
    ours = {output_path(scan).resolve() for scan in found}
    ours |= {output_path(scan, ending="_prob").resolve() for scan in found}
    yield from (scan for scan in found if scan == path or scan.resolve() not in ours)


def _job(scan: Path, labels: Path, extras: Extras) -> Job:
    stem = volume_stem(labels)
    return Job(
        scan,
        labels,
        preview=labels.with_name(f"{stem}.png") if extras.preview else None,
        statistics=(labels.with_name(f"{stem}.csv"), labels.with_name(f"{stem}.json")) if extras.statistics else None,
        probabilities=labels.with_name(f"{stem.removesuffix('_seg')}_prob.nii.gz") if extras.probabilities else None,
    )
