"""Scans in, label maps out, in the geometry of the scan: the one door to every format of FORMATS.

NIfTI goes through nibabel, which takes every affine. Programs built on ITK (SimpleITK, 3D Slicer, ITK-SNAP) are
stricter: they refuse a NIfTI file whose axes are not at right angles, and round a nearly orthogonal one. A label map
carries the scan's own header, so that whatever a program does with the scan it does with the label map.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from medssm.data.scans.formats import (
    FORMATS,
    Header,
    Stored,
    Write,
    every_format,
    format_of,
    format_written,
    known_endings,
    known_formats,
)
from medssm.data.scans.formats.voxels import times
from medssm.data.scans.geometry import spacing_of, voxel_volume
from medssm.errors import DataError, GeometryError, UsageError, one_line, quoted, reason_of, without_path


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
        is_segmentation: what lies outside of its grid is background, as in a segmentation of 3D Slicer.
    """

    array: np.ndarray
    affine: np.ndarray
    header: Header | None = None
    path: Path = Path("volume.nii.gz")
    notes: tuple[str, ...] = ()
    modality: str = ""
    is_segmentation: bool = False

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


def read_volume(path: str | Path, volume: int | None = None, *, fill_gaps: bool = False) -> Volume:
    """The scan in a file of a format of ours, in a folder or zip of a DICOM series, or in the series of a DICOM file.

    Args:
        volume: which one of a file with several, from 0.
        fill_gaps: resample a DICOM series with missing or unevenly spaced slices onto an even grid, with a note.

    Raises:
        FileNotFoundError: there is nothing at `path`.
        DataError: it cannot be read, is not one 3-D scan, or is a label map whose segments overlap.
        GeometryError: its grid is impossible, such as a spacing of zero or a series with missing slices.
        UsageError: it has no such volume.
    """
    path = Path(path)
    stored = _stored(path, fill_gaps=fill_gaps)
    return _volume(path, stored, _joined(path, stored) if stored.is_segmentation else _chosen(path, stored, volume))


def read_volumes(path: str | Path, *, fill_gaps: bool = False) -> list[Volume]:
    """Every volume of a file, one or several; see `read_volume`."""
    path = Path(path)
    stored = _stored(path, fill_gaps=fill_gaps)
    if stored.is_segmentation or stored.array.ndim == 3:
        return [_volume(path, stored, _joined(path, stored))]
    return [_volume(path, stored, stored.array[..., channel]) for channel in range(stored.array.shape[3])]


def read_layers(path: str | Path) -> list[Volume]:
    """The label map in a file, in more than one layer only where its segments overlap; see `read_volume`."""
    path = Path(path)
    stored = _stored(path)
    if not stored.is_segmentation:
        return [_volume(path, stored, _chosen(path, stored, None))]
    if stored.array.ndim == 3 or not overlapping_labels(stored.array):
        return [_volume(path, stored, _joined(path, stored))]
    return [_volume(path, stored, stored.array[..., layer]) for layer in range(stored.array.shape[3])]


def _volume(path: Path, stored: Stored, array: np.ndarray) -> Volume:
    """What was stored, with an array (X, Y, Z) of it."""
    notes = tuple(without_path(path, note) for note in stored.notes)
    return Volume(
        array, stored.affine, stored.header, path, notes, stored.modality, is_segmentation=stored.is_segmentation
    )


def _stored(path: Path, *, fill_gaps: bool = False) -> Stored:
    try:
        exists = path.exists()
    except (OSError, ValueError) as error:  # too long, or with a zero byte
        raise DataError(f"{quoted(str(path))}: is no name of a file ({reason_of(error)})") from error
    if not exists:
        raise FileNotFoundError(2, "no such file or folder", str(path))
    found = format_of(path)
    if found is None:
        raise DataError(f"{path}: no scan that can be read; give {known_formats()}")
    codec = found.codec()
    read = codec.read_filled if fill_gaps and codec.read_filled else codec.read
    return read(path)


def _chosen(path: Path, stored: Stored, volume: int | None) -> np.ndarray:
    """The volume (X, Y, Z) that was asked for, or the only one."""
    array = stored.array
    count = 1 if array.ndim == 3 else array.shape[3]
    if volume is not None and not 0 <= volume < count:
        raise UsageError(f"{path}: has no volume {volume}; it holds {count}, counted from 0")
    if array.ndim == 3:
        return array
    if volume is None:
        raise DataError(
            f"{path}: {times(array.shape)} voxels are several volumes in one file; choose one with --volume 0 to "
            f"{count - 1} (predict, view), or give one 3-D volume"
        )
    return array[..., volume]


def _joined(path: Path, stored: Stored) -> np.ndarray:
    """The layers of a segmentation as one label map (X, Y, Z)."""
    array = stored.array
    if array.ndim == 3:
        return array
    if overlapping := overlapping_labels(array):
        names = stored.header.label_names
        shown = one_line(" and ".join(names.get(label) or f"label {label}" for label in overlapping), 120)
        raise DataError(f"{path}: {shown} overlap, and a label map holds one segment in a voxel; leave some out")
    return array.max(axis=3)


def overlapping_labels(layers: np.ndarray) -> tuple[int, ...]:
    """Two labels that some voxel has both of, as small as possible; none where there is no such voxel.

    Args:
        layers: (X, Y, Z, L) unsigned integers.

    >>> overlapping_labels(np.array([[[[0, 5], [3, 0]]]])), overlapping_labels(np.array([[[[2, 5], [3, 0]]]]))
    ((), (2, 5))
    """
    for z in range(layers.shape[2]):
        plane = layers[:, :, z]
        several = plane[np.count_nonzero(plane, axis=2) > 1]
        if len(several):
            first, second, *_ = several[0][several[0] > 0].tolist()
            return first, second
    return ()


def volume_suffix(path: Path) -> str:
    """The part of the name that tells the format, in small letters, such as ".nii.gz"; "" if it is none of ours."""
    name = path.name.lower()
    return next((suffix for row in every_format() for suffix in row.suffixes if name.endswith(suffix)), "")


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
    own = next((row for row in every_format() if row.written and suffix in row.suffixes), FORMATS[0])
    return Path(folder or beside) / f"{volume_stem(scan)}{ending}{own.written[0]}"


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
