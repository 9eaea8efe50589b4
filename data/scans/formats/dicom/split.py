"""Series whose slices lie in several folders: one scan, though each of the folders could be one."""

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from medssm.data.scans.formats.dicom.files import DicomFile, dicom_files, is_dicom
from medssm.data.scans.formats.dicom.headers import SliceHeader, read_headers, series_of_images

# Folders beside that of a scan, and files in each, that are looked at.
_FOLDERS_LOOKED_AT, _FILES_LOOKED_AT = 64, 8
_Key = tuple[tuple[str, ...], tuple[str, ...]]


def whole_series(scans: Sequence[Path]) -> list[Path]:
    """The scans, of which folders are DICOM series, and in place of those that share a series the folder around them.

    They share one where their slices are of the same series, patient and frame of reference, and no two of them lie in
    the same place: phases that a user has put into folders of their own do.
    """
    groups: dict[object, list[Path]] = {}
    for scan in scans:
        key = next(_keys(dicom_files(scan)), None) if scan.is_dir() else None
        groups.setdefault(key if key and key[0][0] else scan, []).append(scan)
    joined = [[_around(group)] if len(group) > 1 and _is_one_scan(group) else group for group in groups.values()]
    return [scan for group in joined for scan in group]


def holds_slices(folder: Path) -> bool:
    """Whether a folder of DICOM files holds more than contours, plans and reports."""
    return next(_keys(dicom_files(folder)), None) is not None


def unread_series(header: SliceHeader, folder: Path) -> str:
    """What beside and below the folder of a slice may belong to its scan, in words; nothing if nothing does."""
    own = folder.resolve()
    beside = [
        other
        for other in _folders_in(own.parent)
        if other.resolve() != own and _key(header) in _keys(islice(_first_files(other), 1))
    ]
    if beside:
        return f"more of the same series lies in {_listed(beside)}; put all of a scan into one folder"
    is_all = header.path.resolve().parent != own
    below = [] if is_all else [other for other in _folders_in(own) if next(_first_files(other), None)]
    return f"the DICOM files in {_listed(below)} were not read" if below else ""


def _listed(folders: Sequence[Path]) -> str:
    return ", ".join(map(str, folders[:3]))


def _folders_in(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.iterdir()) if path.is_dir()][:_FOLDERS_LOOKED_AT]


def _first_files(folder: Path) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        yield from filter(is_dicom, (Path(entry.path) for entry in islice(entries, _FILES_LOOKED_AT)))


def _keys(files: Iterable[Path]) -> Iterator[_Key]:
    """The series of files with slices, one after the other."""
    return filter(None, map(series_of_images, map(DicomFile.on_disk, files)))


def _key(header: SliceHeader) -> _Key:
    return header.series, header.patient


def _around(folders: Sequence[Path]) -> Path:
    return Path(os.path.commonpath(folders))


def _is_one_scan(folders: Sequence[Path]) -> bool:
    """Whether no two slices in different folders lie in the same place."""
    places = [_places(folder) for folder in folders]
    return len(set().union(*places)) == sum(map(len, places))


def _places(folder: Path) -> set[tuple[float, ...]]:
    found = read_headers(map(DicomFile.on_disk, dicom_files(folder))).headers
    return {
        tuple(np.round([*header.position, *header.directions.ravel()], 3))
        for header in found
        if header.position is not None and header.axes is not None
    }
