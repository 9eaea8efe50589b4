"""What a page is made of, from files or from memory: a scan, and label maps on its grid with the names of organs."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from medssm.data.scans.network_grid import to_ras
from medssm.data.scans.organs import BTCV_ORGANS
from medssm.data.scans.volume import Volume, read_volume, turned_like
from medssm.metrics.evaluation import check_same_grid, label_array
from medssm.viewing.page.reduction import Grid

ScanSource = str | Path | Volume
LabelSource = str | Path | Volume | np.ndarray


class LabelMap(NamedTuple):
    """Labels on the grid of a scan.

    Attributes:
        array: (X, Y, Z) unsigned integers, as the scan's array lies.
        names: label value -> organ, as the file has them.
        title: what to call the label map.
    """

    array: np.ndarray
    names: dict[int, str]
    title: str


def scan_from(source: ScanSource) -> Volume:
    """The scan itself, or the one in a file or DICOM folder."""
    return source if isinstance(source, Volume) else read_volume(source)


def labels_from(source: LabelSource, scan: Volume) -> LabelMap:
    """A label map turned to lie as the scan does; nothing is resampled.

    Raises: GeometryError if it lies on another grid; DataError if it is no label map.
    """
    if isinstance(source, np.ndarray):
        volume, title = Volume(source, scan.affine, None, Path("labels")), "labels"
    else:
        volume = scan_from(source)
        title = volume.path.resolve().name
    turned = turned_like(volume, scan)
    check_same_grid(turned, scan)
    names = {label: name for label, name in volume.label_names.items() if label}
    array = turned.array if turned.array.dtype.kind == "u" else label_array(turned)
    return LabelMap(_smallest(array), names, title)


def names_for(given: Mapping[int, str] | None, maps: list[LabelMap]) -> Mapping[int, str]:
    """The names that were given, else those in the files, else BTCV's where the labels are among them."""
    if given is not None:
        return {label: name for label, name in given.items() if label}
    if embedded := {label: name for labels in reversed(maps) for label, name in labels.names.items()}:
        return embedded
    highest = max((int(labels.array.max(initial=0)) for labels in maps), default=0)
    return BTCV_ORGANS if highest <= max(BTCV_ORGANS) else {}


def ras(array: np.ndarray, affine: np.ndarray) -> Grid:
    """The array with its axes nearest to right, front and head."""
    return Grid(*to_ras(array, affine))


def _smallest(labels: np.ndarray) -> np.ndarray:
    return labels.astype(np.min_scalar_type(int(labels.max(initial=0))), copy=False)
