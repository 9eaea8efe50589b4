"""Which files make up a scan: what tells whether it has changed looks at all of them, and at no others."""

from pathlib import Path

from medssm.data.scans.formats import format_of
from medssm.errors import DataError


def files_of_scan(scan: Path) -> list[Path]:
    """The files that a scan is read from, always in the same order.

    Of a DICOM series all DICOM files of its folder, with a folder given also those below; both halves of a NIfTI pair;
    a header and the file that it names. The path alone where that cannot be told, such as of a damaged header, whose
    reader then says what is wrong; none for a folder without DICOM, and for what has no end, such as a pipe.

    Raises: OSError if they cannot be listed.
    """
    found = format_of(scan)
    try:
        if found is not None:
            return found.codec().files(scan)
    except DataError:
        pass
    return [] if scan.exists() and not scan.is_file() else [scan]
