"""A zip of a DICOM series, read where it lies: no name in it becomes a path, and nothing is unpacked to the disk."""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from medssm.data.scans.formats import Stored
from medssm.data.scans.formats.dicom.files import DicomFile, counts_as_dicom
from medssm.errors import DataError, one_line

# What a zip may hold: more files, or bytes when unpacked, are a bomb or no scan.
_MOST_FILES = 50_000
_FREE, _MOST_TIMES = 64 << 20, 100
# So many files are looked at before a zip counts as something else than a series.
_LOOKED_AT = 16


def read_zip(path: Path, fill_gaps: bool = False) -> Stored:
    """The scan in a zip, as `read_dicom` reads the one in a folder.

    Raises: DataError if the zip is damaged, encrypted or unpacks to too much, or holds no one scan; GeometryError if
        the slices make no even grid.
    """
    from medssm.data.scans.formats.dicom.headers import read_headers
    from medssm.data.scans.formats.dicom.reading import read_stack
    from medssm.data.scans.formats.dicom.series import choose_series

    with _opened(path) as archive:
        slices, notes = choose_series(read_headers(_dicom_files(archive, path)), path)
        return read_stack(slices, path, notes, fill_gaps)


def zip_holds_series(path: Path) -> bool:
    """Whether there is DICOM among the first files of a zip that can be read."""
    try:
        with _opened(path) as archive:
            return any(_is_dicom(file) for file in islice(_files(archive, path), _LOOKED_AT))
    except DataError:
        return False


@contextmanager
def _opened(path: Path) -> Iterator[ZipFile]:
    try:
        with ZipFile(path) as archive:
            _check_contents(archive, path)
            yield archive
    except (BadZipFile, NotImplementedError) as error:
        raise DataError(f"{path}: the zip is damaged; copy or export it again") from error


def _check_contents(archive: ZipFile, path: Path) -> None:
    members, size = archive.infolist(), path.stat().st_size
    if not all(0 <= member.header_offset < size for member in members):
        raise BadZipFile
    if any(member.flag_bits & 1 for member in members):
        raise DataError(f"{path}: the zip is encrypted; unpack it and give its folder")
    if any(member.compress_type not in (ZIP_STORED, ZIP_DEFLATED) for member in members):
        raise DataError(f"{path}: the zip is not compressed by deflate; unpack it and give its folder")
    most = _FREE + _MOST_TIMES * size
    if len(members) > _MOST_FILES or sum(member.file_size for member in members) > most:
        raise DataError(
            f"{path}: unpacks to more than {_MOST_FILES} files or {most >> 20} MiB, as no scan does; unpack it if you "
            "trust it, and give its folder"
        )


def _dicom_files(archive: ZipFile, path: Path) -> Iterator[DicomFile]:
    return (file for file in _files(archive, path) if _is_dicom(file))


def _files(archive: ZipFile, path: Path) -> Iterator[DicomFile]:
    """The files of a zip by name, under names that are only shown."""
    for member in sorted(archive.infolist(), key=lambda member: member.filename):
        if not member.is_dir():
            yield _file(archive, member, path)


def _file(archive: ZipFile, member: ZipInfo, path: Path) -> DicomFile:
    return DicomFile(path / one_line(member.filename).lstrip("/"), partial(archive.open, member))  # type: ignore[arg-type]


def _is_dicom(file: DicomFile) -> bool:
    """Whether a member is DICOM; one that cannot be unpacked is taken for it, so that it is told."""
    try:
        return counts_as_dicom(file.path.name, file.start())
    except (BadZipFile, zlib.error, EOFError):
        return True
