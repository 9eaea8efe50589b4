"""Formats of scans and label maps, a file and a row each: by what a path is told, how it is read and written.

A new format is a file with a `Codec` and a row in FORMATS. What reads and writes is imported when it is needed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from medssm.data.scans.formats.dicom.files import files_of_series, is_dicom
from medssm.offers import FORMATS as OFFERED
from medssm.offers import every_offered

if TYPE_CHECKING:
    import numpy as np


class Header(Protocol):
    """What an output needs to have the same geometry bit for bit; only its own format looks inside."""

    @property
    def label_names(self) -> dict[int, str]:
        """Label value -> name as the file holds them; empty where it holds none."""


class StoredGrid(Protocol):
    """Where voxels lie, and what the file said of it: `affine` (4, 4) from voxels to RAS+ mm, `shape` (X, Y, Z)."""

    @property
    def affine(self) -> "np.ndarray":
        """(4, 4) from voxels to RAS+ mm."""

    @property
    def shape(self) -> tuple[int, int, int]: ...

    @property
    def header(self) -> Header | None: ...


class Stored(NamedTuple):
    """What a file holds.

    Attributes:
        array: (X, Y, Z), or (X, Y, Z, V) of several volumes; the stored type where possible and perhaps mapped from the
            file.
        affine: (4, 4) float64, voxel indices to RAS+ mm.
        notes: what a user should know of the reading, one sentence each.
        modality: as DICOM names it, such as "CT"; "" where the file does not say it.
        is_segmentation: as 3D Slicer writes it: several volumes are layers of one label map, with a label value in one
            of them only, and what lies outside of the grid is background.
    """

    array: "np.ndarray"
    affine: "np.ndarray"
    header: Header
    notes: tuple[str, ...] = ()
    modality: str = ""
    is_segmentation: bool = False


Read = Callable[[Path], Stored]
# Writes (X, Y, Z), or (X, Y, Z, C) of one value per class, on a grid: the geometry of a header of the same format to
# the bit, of another one as near as the format can say it; with names, label value -> name.
Write = Callable[[Path, "np.ndarray", StoredGrid, Mapping[int, str]], None]


def _alone(path: Path) -> list[Path]:
    return [path]


class Codec(NamedTuple):
    """How a format is read, which may raise DataError or GeometryError, and written, if it is.

    Attributes:
        read_filled: reads it with gaps between slices filled, where the format can have any.
        files: all that it is read from, by the path that it is read by; may raise DataError.
    """

    read: Read
    write: Write | None = None
    read_filled: Read | None = None
    files: Callable[[Path], list[Path]] = _alone


@dataclass(frozen=True)
class Format:
    """A format.

    Attributes:
        title: as people call it, with the usual ending.
        suffixes: how its files' names end, in small letters; none where a folder is a scan.
        written: those of them that label maps are written as, the usual one first; none where they are written in the
            first format of the table.
        carries: what it holds besides labels and their geometry.
        codec: imports what reads and writes it.
        halves: those of the suffixes whose file has a header beside it, and counts as one scan with it.
    """

    title: str
    suffixes: tuple[str, ...]
    written: tuple[str, ...]
    carries: frozenset[Literal["label names", "probabilities"]]
    codec: Callable[[], Codec]
    halves: tuple[str, ...] = ()

    def tells(self, path: Path) -> bool:
        """Whether a path that exists is of this format: by its name, or, without suffixes, by what it holds."""
        if self.suffixes:
            return path.is_file() and path.name.lower().endswith(self.suffixes)
        return path.is_dir() or is_dicom(path)


def _nifti() -> Codec:
    from medssm.data.scans.formats.nifti import nifti_files, read_nifti, write_nifti

    return Codec(read_nifti, write_nifti, files=nifti_files)


def _nrrd() -> Codec:
    from medssm.data.scans.formats.nrrd import nrrd_files, read_nrrd, write_nrrd

    return Codec(read_nrrd, write_nrrd, files=nrrd_files)


def _metaimage() -> Codec:
    from medssm.data.scans.formats.metaimage import metaimage_files, read_metaimage, write_metaimage

    return Codec(read_metaimage, write_metaimage, files=metaimage_files)


def _freesurfer() -> Codec:
    from medssm.data.scans.formats.freesurfer import read_mgh

    return Codec(read_mgh)


def _dicom() -> Codec:
    from medssm.data.scans.formats.dicom.reading import read_dicom

    return Codec(read_dicom, read_filled=partial(read_dicom, fill_gaps=True), files=files_of_series)


def _dicom_zip() -> Codec:
    from medssm.data.scans.formats.dicom.archive import read_zip

    return Codec(read_zip, read_filled=partial(read_zip, fill_gaps=True))


# The first one is written where a scan's own format is not. A label map is one file, also where the scan is a header
# and its data (.nhdr, .mhd).
FORMATS: tuple[Format, ...] = (
    Format(
        "NIfTI (.nii.gz)",
        (".nii.gz", ".nii", ".nii.bz2", ".nii.xz", ".hdr", ".img", ".hdr.gz", ".img.gz"),
        (".nii.gz", ".nii"),
        frozenset(("label names", "probabilities")),
        _nifti,
        halves=(".img", ".img.gz"),
    ),
    Format("NRRD", (".nrrd", ".nhdr"), (".nrrd",), frozenset(("label names",)), _nrrd),
    Format("MHA", (".mha", ".mhd"), (".mha",), frozenset(("label names",)), _metaimage),
    Format("MGZ", (".mgz", ".mgh"), (), frozenset(), _freesurfer),
    Format("a DICOM folder", (), (), frozenset(), _dicom),
    Format("a zip of a DICOM folder", (".zip",), (), frozenset(), _dicom_zip),
)


def every_format() -> tuple[Format, ...]:
    """Ours, and those that other installed packages offer."""
    return (*FORMATS, *every_offered(OFFERED, Format).values())


def format_of(path: Path) -> Format | None:
    """The format of a path that exists; None if it is none of ours."""
    return next((row for row in every_format() if row.tells(path)), None)


def names_a_scan(path: Path) -> bool:
    """Whether a file found in a folder is a scan by its name; of a scan that is two files, the one with the header."""
    name = path.name.lower()
    return any(name.endswith(row.suffixes) and not name.endswith(row.halves) for row in every_format() if row.suffixes)


def format_written(path: Path) -> Format | None:
    """The format that the ending of a name to be written chooses; None if it is none that we write."""
    return next((row for row in every_format() if path.name.lower().endswith(row.written)), None)


def known_formats() -> str:
    """All of ours that are read, in words."""
    return _listed([row.title for row in FORMATS])


def known_endings(carrying: Literal["label names", "probabilities"]) -> str:
    """The endings of those of ours that can hold something, in words."""
    return _listed([ending for row in FORMATS if carrying in row.carries for ending in row.written])


def _listed(words: list[str]) -> str:
    return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))
