"""The segments of a 3D Slicer segmentation: labels in layers, of which those that overlap are in different ones.

slicer.readthedocs.io/en/latest/developer_guide/modules/segmentations.html
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from medssm.data.scans.formats.label_names import is_label
from medssm.data.scans.label_values import label_counts

# More than any segmentation has, so that no header makes a table of millions.
_MOST_SEGMENTS = 1 << 16


class Segment(NamedTuple):
    """One segment: its layer, its value there, and its name."""

    layer: int
    value: int
    name: str


def segments_in(fields: Mapping[str, str]) -> list[Segment]:
    """The segments by a file's key/value pairs; none in a file that is no segmentation.

    Before Slicer 4.11 each segment was a layer of its own, without a word of layers and values.
    """
    return list(_segments(fields))


def _segments(fields: Mapping[str, str]) -> Iterator[Segment]:
    for index in range(_MOST_SEGMENTS):
        key = f"Segment{index}_"
        if f"{key}ID" not in fields and f"{key}LabelValue" not in fields:
            return
        layer, value = fields.get(f"{key}Layer", str(index)), fields.get(f"{key}LabelValue", "1")
        if is_label(layer) and is_label(value):
            yield Segment(int(layer), int(value), fields.get(f"{key}Name", ""))


def numbered(layers: np.ndarray, segments: list[Segment]) -> tuple[np.ndarray, dict[int, str]]:
    """The layers with a label value in one of them only, and the names of the values.

    A value stays as it is unless a layer before has it; then it becomes the next one that is free.

    Args:
        layers: (X, Y, Z, L) unsigned integers.
    """
    names: dict[int, str] = {}
    taken = {0}
    free = max([*(segment.value for segment in segments), int(layers.max(initial=0))]) + 1
    moved: list[dict[int, int]] = []
    for layer in range(layers.shape[3]):
        own = {segment.value: segment.name for segment in segments if segment.layer == layer}
        moves = {}
        for value in sorted({*own, *label_counts(layers[..., layer])} - {0}):
            moves[value] = value if value not in taken else free
            free += value in taken
            taken.add(moves[value])
            if value in own:
                names[moves[value]] = own[value]
        moved.append(moves)
    out = np.zeros(layers.shape, np.min_scalar_type(max(taken)), order="F")
    for layer, moves in enumerate(moved):
        for value, number in moves.items():
            out[..., layer][layers[..., layer] == value] = number
    return out, names
