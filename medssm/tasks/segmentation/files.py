"""Many scans one after the other: each once, whoever goes through them, and with a record of how."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from medssm.data.scans.files_of import files_of_scan
from medssm.data.scans.formats.dicom.files import is_dicom
from medssm.data.scans.plausibility import is_label_map
from medssm.data.scans.scan import Scan
from medssm.data.scans.volume import read_volume, volume_suffix
from medssm.errors import DataError, UsageError
from medssm.files import atomic_path, remove_abandoned
from medssm.tasks.batch import REWRITES, FileResults, Later, LeftOut, Teller, Watch, run_on_files
from medssm.tasks.claims import Claim, claimed
from medssm.tasks.cost import Cost, measured
from medssm.tasks.failures import failure_sentence
from medssm.tasks.records import (
    FileState,
    Record,
    Snapshot,
    contents_of,
    holds,
    read_record,
    record_path,
    settings_sha256,
)
from medssm.tasks.segmentation.jobs import Job
from medssm.tasks.segmentation.runner import Predictor, PredictSettings
from medssm.tasks.segmentation.statistics import write_statistics

MORE_MEMORY = "give --memory with less than the machine has, or --device cpu"
# What changes labels; the others only say how they are computed, or what is written beside them.
_OF_LABELS = ("overlap", "tta", "blending", "padding", "volume", "fill_gaps")
_AGAIN = "give --overwrite to write it again, or another --out"


class ScanFiles:
    """Scans: files of a format, or DICOM."""

    kind = "scan"

    def takes(self, path: Path) -> bool:
        return bool(volume_suffix(path)) or (path.is_file() and is_dicom(path))


class OrgansOfScan(NamedTuple):
    """What is kept of a segmentation when its voxels are let go: organ -> volume in ml."""

    volumes_ml: Mapping[str, float]


def predict_scans(
    predictor: Predictor,
    jobs: Sequence[Job],
    settings: PredictSettings,
    watch: Watch[OrgansOfScan] | None = None,
    *,
    weights_sha256: str = "",
    overwrite: bool = False,
) -> FileResults[OrgansOfScan]:
    """Predicts each scan that has no record of it yet; one that fails does not stop the others.

    Processes that go through the same scans at the same time share them. Outputs without a record of the same scan,
    weights and settings are refused unless `overwrite` is given.

    Args:
        weights_sha256: of the predictor's weights.
    """
    of_scan = {job.scan: job for job in jobs}
    for folder in {job.labels.parent for job in jobs}:
        remove_abandoned(folder)
    batch = _Scans(predictor, settings, weights_sha256, overwrite)
    return run_on_files(
        list(of_scan), lambda scan, tell: batch.predict(of_scan[scan], tell), watch, more_memory=MORE_MEMORY
    )


@dataclass
class _Scans:
    """What all scans of a call have in common.

    Attributes:
        waiting: scans at which another process ended, which are tried after all others.
    """

    predictor: Predictor
    settings: PredictSettings
    weights_sha256: str
    overwrite: bool
    waiting: set[Path] = field(default_factory=set)

    @property
    def settings_sha256(self) -> str:
        return settings_sha256(self._of_labels(self.told_settings))

    @property
    def told_settings(self) -> dict[str, Any]:
        """All settings, and of post-processing the rules themselves."""
        rules = self.predictor.mending(self.settings).as_stored()
        return {**asdict(self.settings), "postprocessing": {str(label): of for label, of in rules.items()}}

    @staticmethod
    def _of_labels(settings: Mapping[str, Any]) -> dict[str, Any]:
        """The settings that change labels; records from before there was post-processing know nothing of it."""
        known = {name: settings.get(name) for name in _OF_LABELS}
        return known | ({"postprocessing": rules} if (rules := settings.get("postprocessing")) else {})

    def predict(self, job: Job, tell: Teller) -> OrgansOfScan:
        """The organs of a scan, whose outputs and record are then written.

        Raises: LeftOut, Later, or what went wrong.
        """
        if job.left_out:
            raise LeftOut(job.left_out)
        record = record_path(job.labels)
        try:
            with claimed(
                record.with_suffix(".claim"),
                is_last_try=job.scan in self.waiting,
                is_meant=job.is_alone or self.overwrite,
            ) as claim:
                scan = [file for image in job.images for file in files_of_scan(image)]
                wanted = self._wanted(job, scan, claim)
                return self._predict(job, _Told(tell, claim), Snapshot(job.scan, scan), wanted)
        except Later:
            self.waiting.add(job.scan)
            raise

    def _predict(self, job: Job, tell: "_Told", scan: Snapshot, wanted: list[Path]) -> OrgansOfScan:
        written: list[Path] = []
        with measured() as cost:
            try:
                found = self._write(job, tell, scan, wanted, written)
            except LeftOut:
                raise
            except BaseException as error:
                with suppress(OSError):  # what went wrong is told, and may be a full disk
                    self._keep_failure(job, tell, scan, written, error)
                raise
        self._record(job, tell, scan, wanted, written, cost).write(record_path(job.labels))
        return found

    def _keep_failure(self, job: Job, tell: "_Told", scan: Snapshot, written: list[Path], error: BaseException) -> None:
        """Writes a record of a failure, unless one of earlier outputs is all that there is."""
        before = read_record(record_path(job.labels))
        if before is None or written or not before.outputs:
            why = "stopped"
            if isinstance(error, Exception) and not isinstance(error, BrokenPipeError):  # which stops all
                why = failure_sentence(job.scan, error, MORE_MEMORY)
            self._record(job, tell, scan, written, written, Cost(), why).write(record_path(job.labels))

    def _wanted(self, job: Job, scan: list[Path], claim: Claim) -> list[Path]:
        """The outputs that are to be written.

        Raises: LeftOut if all are there; UsageError if one is there and does not come from this scan, these weights
            and these settings.
        """
        there = [path for path in job.outputs if path.exists()]
        if self.overwrite or not there:
            return job.outputs
        record = read_record(record_path(job.labels))
        why = "without a record of how it was made" if record is None else self._why_other(record, scan)
        foreign = [path for path in there if why or record is None or not record.vouches_for(path)]
        if lost := next((path for path in foreign if path.name not in claim.unfinished), None):
            raise UsageError(f"{lost}: is there already, {why or 'and was changed since it was written'}; {_AGAIN}")
        if wanted := [path for path in job.outputs if path in foreign or path not in there]:
            return wanted
        raise LeftOut(f"{job.labels} is there already", REWRITES)

    def _why_other(self, record: Record, scan: Sequence[Path]) -> str:
        """What else outputs come from, in words; "" if they come from the same."""
        if record.weights_sha256 != self.weights_sha256:
            return "made with other weights"
        if record.settings_sha256 != self.settings_sha256:
            ours, theirs = (self._of_labels(settings) for settings in (self.told_settings, record.settings))
            others = [f"{name} {theirs[name]}" for name in _OF_LABELS if theirs[name] != ours[name]]
            others += ["other post-processing"] * (ours.get("postprocessing") != theirs.get("postprocessing"))
            return f"made with {', '.join(others)}"
        return "" if holds(scan, record.scan) else "made from another scan of this name"

    def _write(self, job: Job, tell: "_Told", scan: Snapshot, wanted: list[Path], written: list[Path]) -> OrgansOfScan:
        of_probabilities = job.probabilities if job.probabilities in wanted else None
        whole = atomic_path(of_probabilities) if of_probabilities else nullcontext()
        with whole as probabilities, scan.read():  # until the labels are made: voxels may be mapped from the file
            opened = self._opened(job)
            if is_label_map(opened.first):
                if not job.is_alone:
                    raise LeftOut("is a label map")
                tell.note("beware: looks like a label map, not like a scan")
            tell.claim.will_write(wanted)
            segmentation = self.predictor.predict(
                opened,
                self.settings,
                probabilities=probabilities,
                announce=lambda estimate: tell.note(str(estimate)),
                progress=tell.progress,
            )
        written += [path for path in wanted if path == job.probabilities]
        rows = segmentation.statistics() if set(job.statistics or ()) & set(wanted) else []
        for path in (path for path in wanted if path != job.probabilities):
            if path == job.labels:
                segmentation.save(path)
            elif path == job.preview:
                segmentation.save_preview(path)
            elif path in (job.statistics or ()):
                write_statistics(path, rows, str(job.scan), segmentation.volume.notes)
            written.append(path)
        for note in segmentation.volume.notes:
            tell.note(note)
        return OrgansOfScan(segmentation.volumes_ml)

    def _opened(self, job: Job) -> Scan:
        """The scan. Raises: LeftOut for a label map among scans of several channels; what `Predictor.opened` raises."""
        try:
            return self.predictor.opened(job.images, self.settings)
        except DataError:
            if job.is_alone or job.further or not is_label_map(read_volume(job.scan)):
                raise
            raise LeftOut("is a label map") from None

    def _record(
        self,
        job: Job,
        tell: "_Told",
        scan: Snapshot,
        wanted: list[Path],
        written: list[Path],
        cost: Cost,
        why: str = "",
    ) -> Record:
        """The record of a scan; what was there, is still right and was not wanted again is in the one before it."""
        return Record(
            file=str(job.scan.absolute()),
            scan=scan.contents,
            weights_sha256=self.weights_sha256,
            settings_sha256=self.settings_sha256,
            settings={**self.told_settings, "device": str(self.predictor.place)},
            status="failed" if why else "done",
            why=why,
            notes=tell.notes,
            seconds=round(cost.seconds, 3),
            peak_memory_bytes=cost.peak_memory,
            outputs=self._kept(job, scan.files, wanted) | {path.name: contents_of([path]) for path in written},
        )

    def _kept(self, job: Job, scan: Sequence[Path], wanted: list[Path]) -> dict[str, FileState]:
        """What the record before says of outputs that are as this call would make them, and were not wanted again."""
        before = read_record(record_path(job.labels))
        if before is None or self._why_other(before, scan):
            return {}
        outputs = {name: job.labels.parent / name for name in before.outputs}
        return {
            name: before.outputs[name]
            for name, path in outputs.items()
            if path not in wanted and path.exists() and before.vouches_for(path)
        }


class _Told:
    """Tells on, keeps the notes for the record, and shows that the claim is alive."""

    def __init__(self, tell: Teller, claim: Claim) -> None:
        self.tell, self.claim = tell, claim
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)
        self.tell.note(text)

    def progress(self, done: int, total: int) -> None:
        self.claim.show_life()
        self.tell.progress(done, total)
