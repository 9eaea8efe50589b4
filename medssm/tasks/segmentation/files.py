"""Many scans one after the other: where outputs go, what is there already, and which scans failed."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from medssm.data.scans.volume import find_volumes, output_path, volume_stem, volume_suffix, without_repeats
from medssm.errors import MedssmError, UsageError
from medssm.tasks.failures import failure_sentence
from medssm.tasks.segmentation.memory import MemoryEstimate
from medssm.tasks.segmentation.result import Segmentation
from medssm.tasks.segmentation.runner import Predictor, PredictSettings
from medssm.tasks.segmentation.statistics import write_statistics

MORE_MEMORY = "give --memory with less than the machine has, or --device cpu"


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


class Report(Protocol):
    """What is told while scans are predicted."""

    def skipped(self, job: Job) -> None: ...

    def estimated(self, job: Job, estimate: MemoryEstimate) -> None: ...

    def progress(self, job: Job) -> AbstractContextManager[Callable[[int, int], None]]: ...

    def finished(self, job: Job, segmentation: Segmentation) -> None: ...


@dataclass
class Outcome:
    """What became of the scans; `failed` holds a sentence for each that failed."""

    done: list[Path] = field(default_factory=list)
    skipped: list[Path] = field(default_factory=list)
    failed: dict[Path, str] = field(default_factory=dict)


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
    predictor: Predictor, jobs: Sequence[Job], settings: PredictSettings, report: Report, *, overwrite: bool = False
) -> Outcome:
    """Predicts each scan whose outputs are not there yet; one that fails does not stop the others."""
    outcome = Outcome()
    for job in jobs:
        wanted = [path for path in job.outputs if overwrite or not path.exists()]
        if not wanted:
            outcome.skipped.append(job.scan)
            report.skipped(job)
            continue
        try:
            report.finished(job, _predict(predictor, job, wanted, settings, report))
            outcome.done.append(job.scan)
        except (MedssmError, OSError, RuntimeError) as error:
            outcome.failed[job.scan] = failure_sentence(job.scan, error, MORE_MEMORY)
    return outcome


def _predict(
    predictor: Predictor, job: Job, wanted: list[Path], settings: PredictSettings, report: Report
) -> Segmentation:
    with report.progress(job) as progress:
        segmentation = predictor.predict(
            job.scan,
            settings,
            probabilities=job.probabilities if job.probabilities in wanted else None,
            announce=lambda estimate: report.estimated(job, estimate),
            progress=progress,
        )
    if job.labels in wanted:
        segmentation.save(job.labels)
    if job.preview in wanted:
        segmentation.save_preview(job.preview)
    for path in job.statistics or ():
        if path in wanted:
            write_statistics(path, segmentation.statistics(), str(job.scan))
    return segmentation


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
