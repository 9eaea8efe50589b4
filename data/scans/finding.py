"""Which scans a path means: a file, a folder of files, a DICOM series wherever its slices lie."""

from collections.abc import Iterable
from pathlib import Path

from medssm.data.scans.formats import known_formats, names_a_scan
from medssm.data.scans.formats.dicom.archive import zip_holds_series
from medssm.data.scans.formats.dicom.files import DicomFile, holds_series, is_dicom
from medssm.data.scans.volume import volume_suffix
from medssm.errors import DataError


def find_volumes(path: str | Path) -> list[Path]:
    """The scans that `path` means: itself, or for a folder of scans every scan in it, DICOM folders included.

    A series whose slices lie in several folders is one scan: the folder around them. Links are followed, but no folder
    is entered twice.

    Raises: DataError if a folder holds no scan; FileNotFoundError if there is nothing at `path`.
    """
    path = Path(path)
    found = _scans_below(path, set()) if path.is_dir() else [path]
    if not found:
        raise DataError(f"{path}: no scan in this folder; give {known_formats()}")
    if sum(scan.is_dir() for scan in found) < 2:
        return found
    from medssm.data.scans.formats.dicom.split import whole_series

    return whole_series(found)


def _scans_below(folder: Path, entered: set[Path]) -> list[Path]:
    """The scans in a folder and those below it, without the folders (by their real paths) that were entered before."""
    real = folder.resolve()
    if real in entered:
        return []
    entered.add(real)
    try:
        inside = sorted(child for child in folder.iterdir() if not child.name.startswith("."))
    except PermissionError:
        return [folder]  # which fails by itself when it is read, and keeps no other from it
    if is_dicom_folder := holds_series(folder):
        from medssm.data.scans.formats.dicom.split import holds_slices

        if any(child.name.upper() == "DICOMDIR" for child in inside) or holds_slices(folder):
            return [folder]
    found = [child for child in inside if child.is_file() and is_scan_file(child)]
    found += [scan for child in inside if child.is_dir() for scan in _scans_below(child, entered)]
    return found or ([folder] if is_dicom_folder else [])


def is_scan_file(path: Path) -> bool:
    """Whether a file in a folder is meant as a scan: by its name, and a zip by what it holds."""
    return names_a_scan(path) and (volume_suffix(path) != ".zip" or zip_holds_series(path))


def without_repeats(scans: Iterable[Path]) -> list[Path]:
    """The scans in their order, each once: of the slices of one DICOM series, as `series/*.dcm` names them, the first.

    Files without an image beside such slices, as a planning system exports them, are none.
    """
    first: dict[object, Path] = {}
    unread: list[Path] = []
    for scan in scans:
        key: object = scan.resolve()
        if not volume_suffix(scan) and is_dicom(scan):
            from medssm.data.scans.formats.dicom.headers import read_headers

            contents = read_headers([DicomFile.on_disk(scan)])
            if contents.others:
                unread.append(scan)
            key = (scan.resolve().parent, contents.headers[0].series) if contents.headers else key
        first.setdefault(key, scan)
    beside = {scan.resolve().parent for scan in first.values() if scan not in unread and not scan.is_dir()}
    return [scan for scan in first.values() if scan not in unread or scan.resolve().parent not in beside]
