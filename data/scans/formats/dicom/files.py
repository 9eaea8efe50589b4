"""Which files are DICOM, before any is parsed, and how they are opened: on the disk, or within a zip."""

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from medssm.errors import DataError

_SUFFIXES = (".dcm", ".ima", ".dicom")
# What a deflated file may unpack to, in bytes: whatever real slices need, and no bomb.
_FREE, _MOST_TIMES = 4 << 20, 100
_DEFLATED, _PLAIN = b"1.2.840.10008.1.2.1.99", b"1.2.840.10008.1.2.1\0\0\0"
_MAGIC_AT, _META_AT = 128, 132
_GROUP_LENGTH = b"\x02\x00\x00\x00UL\x04\x00"  # the first element of the meta header
_START = 1024  # bytes that tell a file, and hold its transfer syntax
# Value representations of the elements that a file without a preamble can begin with (PS3.5, section 6.2).
_FIRST_VR = (b"UL", b"CS", b"OB", b"UI", b"SH", b"LO", b"DA", b"TM", b"DT", b"UN")


@dataclass(frozen=True)
class DicomFile:
    """A file that may be DICOM.

    Attributes:
        path: where it lies, as a message says it: within a zip, below the zip's own path.
        raw: opens it.
    """

    path: Path
    raw: Callable[[], BinaryIO]

    @classmethod
    def on_disk(cls, path: Path) -> "DicomFile":
        """A file that is no part of an archive."""
        return cls(path, lambda: open(path, "rb"))

    def start(self) -> bytes:
        """Its first bytes."""
        with self.raw() as file:
            return file.read(_START)

    def open(self) -> BinaryIO:
        """Its content, inflated where the transfer syntax is deflate (PS3.5, section A.5).

        Raises: DataError if that unpacks to more than a scan can have.
        """
        start = self.start()
        meta = _META_AT if start[_MAGIC_AT:_META_AT] == b"DICM" else 0
        if _DEFLATED not in start or start[meta : meta + 8] != _GROUP_LENGTH:
            return self.raw()
        with self.raw() as file:
            return self._inflated(file.read(), meta)

    def _inflated(self, content: bytes, meta: int) -> BinaryIO:
        """The content with all behind its meta header inflated, whose beginning and length are at `meta`."""
        behind = meta + 12 + int.from_bytes(content[meta + 8 : meta + 12], "little")
        most = _FREE + _MOST_TIMES * len(content)
        try:
            inflated = zlib.decompressobj(-zlib.MAX_WBITS).decompress(content[behind:], most)
        except zlib.error as error:
            raise DataError(f"{self.path}: cut off or damaged; copy or export the series again") from error
        if len(inflated) == most:
            raise DataError(f"{self.path}: unpacks to more than {most >> 20} MiB, as no slice does; export it again")
        return BytesIO(content[:behind].replace(_DEFLATED, _PLAIN) + inflated)


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM by its magic, or, lacking the preamble, by its first element, whatever its name."""
    return path.is_file() and starts_as_dicom(DicomFile.on_disk(path).start())


def starts_as_dicom(start: bytes) -> bool:
    """Whether a file that starts with these bytes is DICOM.

    Without a preamble it begins with an element of the group 0002 or 0008, whose length stands in four bytes where
    there is no value representation.
    """
    if start[_MAGIC_AT:_META_AT] == b"DICM":
        return True
    if len(start) < _META_AT or start[:2] not in (b"\x02\x00", b"\x08\x00") or start[3] > 0x2F:
        return False
    is_explicit = start[4:6] in _FIRST_VR
    return is_explicit or int.from_bytes(start[4:8], "little") < _MAGIC_AT


def holds_series(folder: Path) -> bool:
    """Whether a folder has DICOM files in it (not in its sub-folders), or a DICOMDIR that speaks for those."""
    return any(is_dicom(child) for child in folder.iterdir())


def dicom_files(folder: Path) -> list[Path]:
    """The DICOM files of a folder by name; of all its sub-folders if a DICOMDIR, or nothing, lies at its top."""
    return list(_dicom_among(folder.iterdir())) or all_dicom_files(folder)


def all_dicom_files(folder: Path) -> list[Path]:
    """The DICOM files of a folder and of all its sub-folders by their paths."""
    return list(_dicom_among(folder.rglob("*")))


def files_of_series(path: Path) -> list[Path]:
    """The DICOM files that a series may be read from: of a folder all below it, of a slice those beside it."""
    return all_dicom_files(path) if path.is_dir() else dicom_files(path.parent)


def counts_as_dicom(name: str, start: bytes) -> bool:
    """Whether a file is DICOM by what it starts with, or should be by its name, as a slice that was copied in vain."""
    if name.startswith(".") or name.upper() == "DICOMDIR":
        return False
    return starts_as_dicom(start) or name.lower().endswith(_SUFFIXES)


def _dicom_among(paths: Iterator[Path]) -> Iterator[Path]:
    return (
        path for path in sorted(paths) if path.is_file() and counts_as_dicom(path.name, DicomFile.on_disk(path).start())
    )
