"""What a page is made of, from files or from memory: a scan, and label maps on its grid with the names of organs."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from medssm.data.scans.label_values import label_counts, renumbered
from medssm.data.scans.network_grid import to_ras
from medssm.data.scans.organ_masks import labels_of
from medssm.data.scans.volume import Volume, read_volume
from medssm.metrics.organs import LabelTable, match_organs
from medssm.metrics.pairing import read_label_map
from medssm.viewing.page.reduction import PlacedArray

ScanSource = str | Path | Volume
LabelSource = str | Path | Volume | np.ndarray


class ScanLabels(NamedTuple):
    """Labels on the grid of a scan.

    Attributes:
        array: (X, Y, Z) unsigned integers, as the scan's array lies.
        names: label value -> organ, as the file has them.
        title: what to call the label map.
        notes: what a user should know of its reading, one sentence each.
    """

    array: np.ndarray
    names: Mapping[int, str]
    title: str
    notes: tuple[str, ...] = ()


def scan_from(source: ScanSource) -> Volume:
    """The scan itself, or the one in a file or DICOM folder."""
    return source if isinstance(source, Volume) else read_volume(source)


def labels_from(source: LabelSource, scan: Volume) -> ScanLabels:
    """A label map turned to lie as the scan does; nothing is resampled.

    Args:
        source: a file, a folder with a mask for each organ, or an array (X, Y, Z).

    Raises: GeometryError if it lies on another grid; DataError if it is no label map.
    """
    if isinstance(source, np.ndarray):
        source = Volume(source, scan.affine, None, Path("labels"))
    found = labels_of(source) if isinstance(source, Volume) else read_label_map(Path(source))
    turned = found.turned_like(scan)
    title = found.path.name if isinstance(source, Volume) else found.path.resolve().name
    return ScanLabels(_smallest(turned.as_one()), found.names, title, found.notes)


def named(maps: list[ScanLabels], names: Mapping[int, str] | None) -> tuple[list[ScanLabels], Mapping[int, str]]:
    """The label maps with one number for each organ, and the names of these numbers.

    Args:
        maps: none, one, or two whose organs belong together by name where both have names, else by number.
        names: label value -> organ in place of those in the files.
    """
    if names is not None:
        names = {label: name for label, name in names.items() if label}
        return maps, names
    if len(maps) < 2:
        return maps, maps[0].names if maps else {}
    left, right = maps
    ours, theirs = (LabelTable(labels.names, frozenset(label_counts(labels.array))) for labels in maps)
    organs = match_organs(theirs, ours)  # with the left one as the reference, so that its numbers stay
    renamed = {organ.label: organ.name for organ in organs}
    left_numbers = {label: organ.label for organ in organs for label in organ.expected}
    right_numbers = {label: organ.label for organ in organs for label in organ.predicted}
    return [
        left._replace(array=renumbered(left.array, left_numbers)),
        right._replace(array=renumbered(right.array, right_numbers)),
    ], renamed


def ras(array: np.ndarray, affine: np.ndarray) -> PlacedArray:
    """The array (X, Y, Z) with its axes nearest to right, front and head."""
    return PlacedArray(*to_ras(array, affine))


def _smallest(labels: np.ndarray) -> np.ndarray:
    return labels.astype(np.min_scalar_type(int(labels.max(initial=0))), copy=False)
