"""What lies over the scan: one label map, or two compared, as one small array with a table of what its values mean."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from medssm.data.scans.label_values import label_counts
from medssm.data.scans.organs import colour_of
from medssm.errors import DataError

# Tables of all pairs of labels stay small, and a page lists no more organs.
_MOST_LABELS = 4096
_MOST_ENTRIES = 65535
NOT_FOUND = "not found"


class Overlay(NamedTuple):
    """The labels of a page.

    Attributes:
        array: (X, Y, Z) uint8 or uint16; 0 where there is nothing, else 1 + the place in `pairs`.
        pairs: label values of the left and the right map that meet in a voxel; twice the same where there is one map.
        labels: the label values in the order in which they are listed.
        voxels: label value -> voxels of the left map, of the right map, and of both at once.
    """

    array: np.ndarray
    pairs: list[tuple[int, int]]
    labels: list[int]
    voxels: dict[int, tuple[int, int, int]]

    def dice(self, label: int) -> float | None:
        """2 |A and B| / (|A| + |B|) of an organ; None where neither map has it."""
        left, right, both = self.voxels[label]
        return 2 * both / (left + right) if left + right else None


def overlay_of(left: np.ndarray, right: np.ndarray, names: Mapping[int, str]) -> Overlay:
    """Two label maps on one grid, or one given twice, as one.

    Args:
        left, right: (X, Y, Z) unsigned integers.
        names: label value -> organ; values without a name are listed as well.

    Raises: DataError for more than 4096 labels, or if more than 65 535 different pairs of labels meet.
    """
    labels = sorted({*names, *label_counts(left), *label_counts(right)} - {0})
    if len(labels) > _MOST_LABELS:
        raise DataError(f"label map: {len(labels)} labels are too many to show; is it a scan instead?")
    values = np.array([0, *labels], np.result_type(left, right, np.min_scalar_type(max(labels, default=0))))
    count = len(values)
    meetings = np.zeros(count * count, dtype=np.int64)
    for k in range(left.shape[2]):
        meetings += np.bincount(_codes(left, right, values, k).ravel(), minlength=count * count)
    met = [code for code in np.flatnonzero(meetings).tolist() if code]
    if len(met) > _MOST_ENTRIES:
        raise DataError(f"label map: {len(met)} kinds of labels are too many to show; is it a scan instead?")
    entry = np.zeros(count * count, dtype=np.min_scalar_type(len(met)))
    entry[met] = np.arange(1, len(met) + 1)
    array = np.empty(left.shape, dtype=entry.dtype)
    for k in range(left.shape[2]):
        array[..., k] = entry[_codes(left, right, values, k)]
    table = meetings.reshape(count, count)
    voxels = {
        label: (int(table[n].sum()), int(table[:, n].sum()), int(table[n, n]))
        for n, label in enumerate(labels, start=1)
    }
    pairs = [(int(values[code // count]), int(values[code % count])) for code in met]
    return Overlay(array, pairs, labels, voxels)


def _codes(left: np.ndarray, right: np.ndarray, values: np.ndarray, k: int) -> np.ndarray:
    """(X, Y) of plane k: the place of the left label in `values`, times their number, plus the place of the right."""
    return np.searchsorted(values, left[..., k]) * len(values) + np.searchsorted(values, right[..., k])


def organ_table(
    overlay: Overlay, names: Mapping[int, str], voxel_ml: float, places: Mapping[int, list[float]], is_comparison: bool
) -> list[dict[str, Any]]:
    """What the page lists of each organ: name, colour, where to go, and its columns of figures as text."""
    rows = []
    for label in overlay.labels:
        left, right, _ = overlay.voxels[label]
        figures = [_millilitres(left, voxel_ml)]
        if is_comparison:
            dice = overlay.dice(label)
            figures += [_millilitres(right, voxel_ml), "-" if dice is None else f"{dice:.3f}"]
        rows.append(
            {
                "name": names.get(label, f"label {label}"),
                "colour": colour_of(label),
                "place": places.get(label),
                "numbers": figures,
            }
        )
    return rows


def entry_table(overlay: Overlay) -> list[dict[str, int | None]]:
    """For each entry of the overlay the places of its two organs in the list; None for background."""
    row = {0: None, **{label: n for n, label in enumerate(overlay.labels)}}
    return [{"left": row[left], "right": row[right]} for left, right in overlay.pairs]


def _millilitres(voxels: int, voxel_ml: float) -> str:
    return f"{voxels * voxel_ml:.1f}" if voxels else NOT_FOUND
