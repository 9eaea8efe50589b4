"""Scans in, label maps out, in the geometry of the scan: the one door to NIfTI, NRRD, MetaImage and DICOM.

NIfTI goes through nibabel, which takes every affine. Programs built on ITK (SimpleITK, 3D Slicer, ITK-SNAP) are
stricter: they refuse a NIfTI file whose axes are not at right angles, and round a nearly orthogonal one. A label map
carries the scan's own header, so that whatever a program does with the scan it does with the label map.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import nibabel as nib
import numpy as np
from nibabel.orientations import inv_ornt_aff, ornt_transform

from medssm.data.scans.formats import FORMATS, Header, Write, format_of, format_written, known_endings, known_formats
from medssm.data.scans.formats.dicom.archive import zip_holds_series
from medssm.data.scans.formats.dicom.files import DicomFile, holds_series, is_dicom
from medssm.data.scans.geometry import is_same_grid, spacing_of, voxel_volume
from medssm.errors import DataError, GeometryError, UsageError


@dataclass(frozen=True, eq=False)
class Volume:
    """A scan or label map as it lies in its file.

    Attributes:
        array: (X, Y, Z), the stored type where possible and perhaps mapped from the file: read it by slabs.
        affine: (4, 4) float64, voxel indices to RAS+ mm.
        header: what an output needs to have the same geometry bit for bit; None if the volume came from no file.
        path: where it was read from.
        notes: what a user should know of the reading, one sentence each.
        modality: as DICOM names it, such as "CT"; "" where the file does not say it.
    """

    array: np.ndarray
    affine: np.ndarray
    header: Header | None = None
    path: Path = Path("volume.nii.gz")
    notes: tuple[str, ...] = ()
    modality: str = ""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along the array's own axes (X, Y, Z)."""
        x, y, z = self.array.shape
        return x, y, z

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Voxel size (x, y, z) in mm along the array's own axes."""
        return spacing_of(self.affine)

    @property
    def voxel_volume(self) -> float:
        """Volume of a voxel in mm^3."""
        return voxel_volume(self.affine)

    @property
    def label_names(self) -> dict[int, str]:
        """Label value -> name as the file itself holds them; empty where it holds none."""
        return self.header.label_names if self.header is not None else {}


def read_volume(path: str | Path, *, fill_gaps: bool = False) -> Volume:
    """The scan in a NIfTI, NRRD or MetaImage file, in a folder or zip of a DICOM series, or in that of a DICOM file.

    Args:
        fill_gaps: resample a DICOM series with missing or unevenly spaced slices onto an even grid, with a note.

    Raises:
        FileNotFoundError: there is nothing at `path`.
        DataError: it cannot be read, or is not one 3-D scan.
        GeometryError: its grid is impossible, such as a spacing of zero or a series with missing slices.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(2, "no such file or folder", str(path))
    found = format_of(path)
    if found is None:
        raise DataError(f"{path}: no scan that can be read; give {known_formats()}")
    codec = found.codec()
    read = codec.read_filled if fill_gaps and codec.read_filled else codec.read
    array, affine, header, notes, modality = read(path)
    return Volume(array, affine, header, path, notes, modality)


def volume_suffix(path: Path) -> str:
    """The part of the name that tells the format, in small letters, such as ".nii.gz"; "" if it is none of ours."""
    name = path.name.lower()
    return next((suffix for row in FORMATS for suffix in row.suffixes if name.endswith(suffix)), "")


def volume_stem(path: Path) -> str:
    """The name without the part that tells the format; a DICOM file has the name of its folder."""
    suffix = volume_suffix(path)
    if suffix and not path.is_dir():
        return path.name[: -len(suffix)]
    return path.resolve().name if path.is_dir() else path.resolve().parent.name


def output_path(scan: str | Path, folder: str | Path | None = None, ending: str = "_seg") -> Path:
    """Where the label map of `scan` goes: its name with `ending`, beside the scan (or its DICOM folder) or in `folder`.

    >>> output_path("scans/case1.nii", "out").as_posix()
    'out/case1_seg.nii.gz'
    """
    scan = Path(scan)
    suffix = volume_suffix(scan) if not scan.is_dir() else ""
    beside = scan.parent if suffix else (scan if scan.is_dir() else scan.parent).resolve().parent
    own = next((row for row in FORMATS if row.written and suffix in row.suffixes), FORMATS[0])
    return Path(folder or beside) / f"{volume_stem(scan)}{ending}{own.written[0]}"


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
    if holds_series(folder):
        return [folder]
    inside = sorted(child for child in folder.iterdir() if not child.name.startswith("."))
    found = [child for child in inside if child.is_file() and _is_scan_file(child)]
    return found + [scan for child in inside if child.is_dir() for scan in _scans_below(child, entered)]


def _is_scan_file(path: Path) -> bool:
    """Whether a file in a folder is meant as a scan: by its name, and a zip by what it holds."""
    suffix = volume_suffix(path)
    return bool(suffix) and (suffix != ".zip" or zip_holds_series(path))


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


def write_label_map(path: str | Path, labels: np.ndarray, like: Volume, names: Mapping[int, str]) -> None:
    """Writes `labels` on the grid of `like`, with the names in the file; the suffix of `path` chooses the format.

    The format of `like` gets its header's geometry to the bit; another format gets it as near as it can say it.

    Args:
        labels: (X, Y, Z), whole numbers from 0, on the grid of `like`.
        names: label value -> name; background (0) needs none.

    Raises: GeometryError if the shapes differ; UsageError for a suffix of no format we write.
    """
    path = Path(path)
    if labels.shape != like.shape:
        raise GeometryError(
            f"{path}: labels of shape {labels.shape} do not lie on the grid {like.shape} of {like.path}"
        )
    stored = labels.astype(_smallest_type(labels, names), copy=False)
    _writer(path, "label names", "label maps")(path, stored, like, names)


def write_probabilities(path: str | Path, probabilities: np.ndarray, like: Volume, names: Mapping[int, str]) -> None:
    """Writes one probability per class and voxel as a 4-D NIfTI file in float32 (NIfTI has no float16).

    Args:
        probabilities: (C, X, Y, Z), float16 or float32, perhaps mapped from a file, on the grid of `like`.

    Raises: GeometryError if the grids differ; UsageError if `path` is no NIfTI name.
    """
    path = Path(path)
    write = _writer(path, "probabilities", "probabilities")
    if probabilities.shape[1:] != like.shape:
        raise GeometryError(
            f"{path}: probabilities of shape {probabilities.shape} do not lie on the grid {like.shape} of {like.path}"
        )
    write(path, np.moveaxis(probabilities, 0, -1), like, names)


def turned_like(volume: Volume, like: Volume) -> Volume:
    """`volume` with its axes exchanged and flipped to run as those of `like` do: the same voxels, nothing resampled.

    A label map drawn in another program often has another orientation than the scan it was drawn on.
    """
    if volume.shape == like.shape and is_same_grid(like.shape, like.affine, volume.affine):
        return volume
    turns = ornt_transform(nib.io_orientation(volume.affine), nib.io_orientation(like.affine))
    affine = volume.affine @ inv_ornt_aff(turns, volume.shape)
    turned = nib.apply_orientation(volume.array, turns)
    return Volume(turned, affine, None, volume.path, volume.notes, volume.modality)


def _writer(path: Path, carrying: Literal["label names", "probabilities"], what: str) -> Write:
    """What writes a file of this name. Raises: UsageError if its ending is of no format that can hold what it must."""
    chosen = format_written(path)
    write = chosen.codec().write if chosen and carrying in chosen.carries else None
    if write is None:
        raise UsageError(f"{path}: {what} are written as {known_endings(carrying)}; choose one of these endings")
    return write


def _smallest_type(labels: np.ndarray, names: Mapping[int, str]) -> np.dtype:
    highest = max(int(labels.max(initial=0)), max(names, default=0))
    return np.dtype(np.min_scalar_type(highest))
