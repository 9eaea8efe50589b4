"""Scans and their label maps told by their names alone: volume-1 and segmentation-1, x and x_seg, images and labels."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from medssm.data.layouts.scans.declared import PARTS, Part, dataset_of, declared_beside
from medssm.data.layouts.scans.layout import numbered_channel
from medssm.data.layouts.scans.splits import with_split
from medssm.data.scans.case_names import without_label_words, without_words
from medssm.data.scans.cases import ScanCase, ScanDataset
from medssm.data.scans.finding import is_scan_file
from medssm.data.scans.volume import volume_stem
from medssm.errors import DataError

_DEPTH = 4  # of folders in folders
_PART = r"(?P<part>tr|va|ts)?"
_LABEL_FOLDER = re.compile(rf"(?:labels?|masks?|segs?|segmentations?|gt|groundtruths?){_PART}", re.IGNORECASE)
_IMAGE_FOLDER = re.compile(rf"(?:images?|imgs?|scans?|volumes?|cts?|mrs?|data){_PART}", re.IGNORECASE)
_VALIDATION_FOLDER = re.compile(r"va|val|valid|validation", re.IGNORECASE)
_TEST_FOLDER = re.compile(r"ts|test|testing", re.IGNORECASE)


@dataclass
class _Files:
    """What belongs to one case: the part of the dataset, its images and its label maps."""

    part: Part
    images: list[Path] = field(default_factory=list)
    labels: list[Path] = field(default_factory=list)


def find_pairs(folder: Path, fold: int) -> Path | None:
    """The folder itself if a scan below it has a label map."""
    return folder if any(files.images and files.labels for files in _by_case(folder).values()) else None


def read_pairs(folder: Path, fold: int) -> ScanDataset:
    """The scans that have a label map; the names of the labels are those of the folder's dataset.json.

    Files in folders that are called for a test or a validation belong to these parts.

    Raises: DataError if a case has several label maps, or other channels than the others, or nothing names the labels;
        UsageError if there is no such fold.
    """
    parts: dict[Part, list[ScanCase]] = {part: [] for part in PARTS}
    unused: list[Path] = []
    for (_, name), files in _by_case(folder).items():
        if not files.images or not files.labels:
            unused += [*files.images, *files.labels]
            continue
        _refuse_several(folder, files)
        first, *further = files.images
        case = ScanCase(name or volume_stem(first), first, files.labels[0], further=tuple(further))
        parts[files.part].append(case)
    dataset = dataset_of(declared_beside(folder), folder.resolve().name, folder, parts, unused)
    return with_split(dataset, fold)


def _refuse_several(folder: Path, files: _Files) -> None:
    if len(files.labels) > 1:
        shown = " and ".join(str(label.relative_to(folder)) for label in files.labels[:2])
        raise DataError(f"{folder}: {shown} both have the name of a label map of one case; leave one of them there")


def _by_case(folder: Path) -> dict[tuple[Part, str], _Files]:
    """The files of each case, by its part and the path below the folder without words that say what a name holds."""
    cases: dict[tuple[Part, str], _Files] = {}
    for file in _volumes_below(folder):
        *folders, stem = (*file.relative_to(folder).parts[:-1], volume_stem(file))
        kept = [name for name in folders if not _LABEL_FOLDER.fullmatch(name) and not _IMAGE_FOLDER.fullmatch(name)]
        case = "/".join(filter(None, (*kept, without_words(stem))))
        part = _part_of(folders)
        files = cases.setdefault((part, case), _Files(part))
        is_label = any(_LABEL_FOLDER.fullmatch(name) for name in folders) or without_label_words(stem) != stem
        (files.labels if is_label else files.images).append(file)
    for files in [files for files in cases.values() if not files.labels]:  # second channels of cases with labels
        for image in files.images:
            numbered = numbered_channel(image)
            first = cases.get((files.part, without_words(numbered[0]))) if numbered else None
            if first and first.labels:
                first.images.append(image)
    return cases


def _part_of(folders: list[str]) -> Part:
    matches = (_LABEL_FOLDER.fullmatch(name) or _IMAGE_FOLDER.fullmatch(name) for name in folders)
    words = [*folders, *(match["part"] or "" for match in matches if match)]
    if any(_TEST_FOLDER.fullmatch(word) for word in words):
        return "test"
    return "validation" if any(_VALIDATION_FOLDER.fullmatch(word) for word in words) else "training"


def _volumes_below(folder: Path) -> Iterator[Path]:
    """The volume files in a folder and in folders in it, each folder once though links lead back to it."""
    seen: set[str] = {os.path.realpath(folder)}
    for place, folders, files in os.walk(folder, followlinks=True):
        here = Path(place)
        inside = sorted(name for name in folders if not name.startswith("."))
        folders.clear()
        for name in inside if len(here.relative_to(folder).parts) < _DEPTH else ():
            if (real := os.path.realpath(here / name)) not in seen:
                seen.add(real)
                folders.append(name)
        yield from (here / name for name in sorted(files) if not name.startswith(".") and is_scan_file(here / name))
