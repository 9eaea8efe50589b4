"""Which scans are meant, and where the outputs of each go."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

from medssm.data.scans.finding import find_volumes, without_repeats
from medssm.data.scans.formats import format_written, known_endings
from medssm.data.scans.volume import output_path, volume_stem, volume_suffix
from medssm.errors import DataError, UsageError

# nnU-Net's and MONAI's number of the image of a case: 0000 is the first, the others are of other kinds.
_FURTHER_IMAGE = re.compile(r"_(?!0000$)\d{4}$")


@dataclass(frozen=True)
class Extras:
    """What is written beside the label map."""

    preview: bool = False
    statistics: bool = False
    probabilities: bool = False


@dataclass(frozen=True)
class Job:
    """One scan and its outputs; None for what was not asked for.

    Attributes:
        further: the files of its other channels, in the network's order.
        is_alone: nothing but this scan was named.
        left_out: why it is none of the scans to be segmented; "" if it is.
    """

    scan: Path
    labels: Path
    preview: Path | None = None
    statistics: tuple[Path, Path] | None = None
    probabilities: Path | None = None
    is_alone: bool = False
    left_out: str = ""
    further: tuple[Path, ...] = ()

    @property
    def images(self) -> tuple[Path, ...]:
        """The files with its voxels."""
        return (self.scan, *self.further)

    @property
    def outputs(self) -> list[Path]:
        """Every file that is wanted."""
        extras = (self.preview, *(self.statistics or ()), self.probabilities)
        return [self.labels, *(path for path in extras if path is not None)]


def plan_jobs(inputs: Sequence[Path], out: Path | None, extras: Extras, pattern: str | None = None) -> list[Job]:
    """The scans that the inputs mean, with the names of their outputs.

    Args:
        inputs: scans, DICOM folders, or folders of these; what an earlier call wrote for them is left out, and what
            is named twice, or slice by slice, counts once.
        out: a folder, in which a scan from a folder keeps its place below it; for a single scan also a file; None
            writes beside each scan.
        pattern: of the scans in folders only those are meant whose name, or with a slash whose path below the folder,
            is like this, such as "*_0000.nii.gz".

    Raises: UsageError if two scans would write the same file, or one of those that are read; DataError for a folder
        without scans.
    """
    places = _places(inputs, pattern)
    scans = without_repeats(places)
    if out is not None and volume_suffix(out) and not out.is_dir():
        if len(scans) != 1:
            raise UsageError(f"--out {out} is one file, but there are {len(scans)} scans; give a folder")
        if format_written(out) is None:
            raise UsageError(
                f"--out {out}: label maps are written as {known_endings('label names')}; choose one of these"
            )
        jobs = [_job(scans[0], out, extras)]
    else:
        labels = _apart({scan: _labels(scan, places[scan], out) for scan in scans})
        jobs = [_job(scan, labels[scan], extras) for scan in scans]
    jobs = _without_own_outputs(jobs, {path.resolve() for path in inputs})
    _refuse_lost(jobs)
    images = {(job.scan.parent, volume_stem(job.scan)) for job in jobs}
    is_alone = len(jobs) == 1 and list(inputs) == [jobs[0].scan]
    return [replace(job, is_alone=is_alone, left_out=_why_further(job.scan, images, inputs)) for job in jobs]


def _places(inputs: Iterable[Path], pattern: str | None) -> dict[Path, Path]:
    """Every scan with its path below the folder that was named, or just its name."""
    places: dict[Path, Path] = {}
    for path in inputs:
        found = find_volumes(path)
        if found == [path]:
            places.setdefault(path, Path(path.name))
            continue
        below = {scan: scan.relative_to(path) for scan in found}
        meant = {scan: place for scan, place in below.items() if pattern is None or _is_like(place, pattern)}
        if not meant:
            raise DataError(f"{path}: no scan in it is like --pattern {pattern}; there is {next(iter(below.values()))}")
        for scan, place in meant.items():
            places.setdefault(scan, place)
    return places


def _is_like(place: Path, pattern: str) -> bool:
    return fnmatchcase(place.as_posix() if "/" in pattern else place.name, pattern)


def _labels(scan: Path, place: Path, out: Path | None) -> Path:
    beside = output_path(scan)
    return beside if out is None else out / place.parent / beside.name


def _apart(labels: Mapping[Path, Path]) -> dict[Path, Path]:
    """The label maps of scans, with the whole name of the scan where two of a folder differ in their endings alone."""
    count = Counter((scan.parent, path) for scan, path in labels.items())
    return {
        scan: path if count[scan.parent, path] == 1 else path.with_name(f"{scan.name}_seg{volume_suffix(path)}")
        for scan, path in labels.items()
    }


def _job(scan: Path, labels: Path, extras: Extras) -> Job:
    stem = volume_stem(labels)
    return Job(
        scan,
        labels,
        preview=labels.with_name(f"{stem}.png") if extras.preview else None,
        statistics=(labels.with_name(f"{stem}.csv"), labels.with_name(f"{stem}.json")) if extras.statistics else None,
        probabilities=_beside(labels) if extras.probabilities else None,
    )


def _beside(labels: Path) -> Path:
    """The file of probabilities beside a label map."""
    return labels.with_name(f"{volume_stem(labels).removesuffix('_seg')}_prob.nii.gz")


def _without_own_outputs(jobs: list[Job], named: set[Path]) -> list[Job]:
    """Those of which no other is the label map or the file of probabilities, unless they were named."""
    ours: dict[Path, Path] = {}
    for job in jobs:
        for labels in (job.labels, output_path(job.scan)):
            for path in (labels, _beside(labels)):
                ours.setdefault(path.resolve(), job.scan)
    return [job for job in jobs if job.scan.resolve() in named or ours.get(job.scan.resolve(), job.scan) == job.scan]


def _refuse_lost(jobs: Sequence[Job]) -> None:
    """Raises UsageError if an output would be written in place of another one, or of a scan."""
    scans = {job.scan.resolve() for job in jobs}
    first: dict[Path, Path] = {}
    for job in jobs:
        for path in job.outputs:
            place = path.resolve()
            if place in scans or _is_one_of(path, job.scan):
                raise UsageError(f"{path}: would be written in place of the scan that is read; give another --out")
            other = first.setdefault(place, job.scan)
            if other is not job.scan:
                raise UsageError(
                    f"{other} and {job.scan} would both write {path}; predict them into two folders (--pattern "
                    "chooses some of a folder), or give the folder that holds both, whose tree is kept"
                )


def _is_one_of(output: Path, scan: Path) -> bool:
    """Whether an output is the scan under another name, such as a hard link."""
    return output.exists() and scan.exists() and output.samefile(scan)


def _why_further(scan: Path, images: set[tuple[Path, str]], inputs: Sequence[Path]) -> str:
    """Why a scan is a further image of a case whose first one is there; "" if it is none, or was named."""
    stem = volume_stem(scan)
    first = _FURTHER_IMAGE.sub("_0000", stem)
    if first == stem or scan in inputs or (scan.parent, first) not in images:
        return ""
    return f"is another image of the case whose first is {first}, and the network takes one"
