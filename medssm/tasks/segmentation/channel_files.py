"""Scans of several channels among the files that are to be predicted: which of them belong together."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from medssm.data.scans.scan import in_order_of
from medssm.data.scans.volume import volume_stem
from medssm.errors import UsageError
from medssm.tasks.segmentation.jobs import Extras, Job, plan_jobs


def together(jobs: Sequence[Job], names: Sequence[str]) -> list[Job]:
    """The jobs for a network that takes these channels: the files of one scan are one job, in the network's order.

    Files belong together that lie in one folder and are called alike but for nnU-Net's number of the channel, as in
    case_0000 and case_0001, or its name, as in case_t1 and case-FLAIR. Any other file holds all channels, or is found
    to lack some when it is read.
    """
    if len(names) < 2:
        return list(jobs)
    scans: dict[tuple[Path, str], dict[int, Job]] = {}
    for job in jobs:
        case, channel = _case_and_channel(job.scan, names)
        of_case = scans.setdefault((job.scan.parent, case), {})
        of_case.setdefault(channel, job)
    return [_joined(of_case) for of_case in scans.values()]


def named_files(given: Sequence[str], names: Sequence[str]) -> list[Path]:
    """The files of texts such as T1=a.nii.gz, in the network's order.

    Raises: UsageError if one is no such text, or the channels are others than the network's.
    """
    files: dict[str, Path] = {}
    for text in given:
        name, equals, file = text.partition("=")
        if not equals or not name or not file:
            raise UsageError(f"--channel {text}: is not of the form NAME=FILE, such as T1=t1.nii.gz")
        if name in files:
            raise UsageError(f"--channel {name}: is given twice")
        files[name] = Path(file)
    return in_order_of(names, files)


def job_of(files: Sequence[Path], out: Path | None, extras: Extras) -> Job:
    """The job of one scan whose channels are these files; its outputs are named after the first."""
    first, *further = files
    if missing := next((file for file in files if not file.exists()), None):
        raise FileNotFoundError(2, "no such file or folder", str(missing))
    [job] = plan_jobs([first], out, extras)
    return replace(job, further=tuple(further))


def _case_and_channel(scan: Path, names: Sequence[str]) -> tuple[str, int]:
    """A file's case and the place of its channel; one that names none holds the first."""
    stem = volume_stem(scan)
    for place, name in enumerate(names):
        if match := re.fullmatch(rf"(.+)(?:_{place:04}|[-_. ]{re.escape(name)})", stem, re.IGNORECASE):
            return match[1], place
    return f"{stem}{scan.suffix}", 0


def _joined(of_case: Mapping[int, Job]) -> Job:
    """The job of the first channel with the files of the others; what is asked of one is asked of all."""
    first, *others = (of_case[place] for place in sorted(of_case))
    return replace(first, further=tuple(job.scan for job in others), left_out=first.left_out if not others else "")
