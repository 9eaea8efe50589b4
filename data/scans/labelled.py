"""The labels of a case as networks learn them: one byte a voxel, on the grid of the scan."""

from collections.abc import Collection, Iterable, Mapping

import numpy as np

from medssm.data.scans.cases import ScanCase
from medssm.data.scans.label_values import slabs
from medssm.data.scans.organ_masks import LabelLayers, read_label_file, read_organ_masks
from medssm.data.scans.volume import Volume
from medssm.errors import DataError

# The highest label that a network can have, and what stands for voxels of which nothing is known.
HIGHEST_LABEL, IGNORED = 254, 255

_SHOWN = 8
_TO_IGNORE = "if voxels of 255 are to be left out, add \"ignore\": 255 to its 'labels', else correct the label map"


def read_labels(case: ScanCase, like: Volume) -> np.ndarray:
    """The labels of a case, (X, Y, Z) uint8 on the grid of `like`, turned to run as it does.

    Raises:
        DataError: a file cannot be read, is no label map or holds labels that no network can have; masks overlap.
        GeometryError: the labels lie on another grid.
    """
    layers = read_organ_masks(case.masks) if case.masks else read_label_file(case.reference)
    return learnt_labels(layers.turned_like(like), case.ignored)


def learnt_labels(layers: LabelLayers, ignored: int | None) -> np.ndarray:
    """Label values (X, Y, Z) as uint8, where 255 stands for what is ignored.

    Raises: DataError if organs overlap, or a label is above 254.
    """
    labels = layers.as_one()
    learnt = np.empty(labels.shape, np.uint8, order="F")
    for slab in slabs(labels):
        values = labels[slab]
        is_unknown = values == ignored if ignored is not None else np.zeros((), bool)
        highest = int(np.where(is_unknown, 0, values).max(initial=0))
        if highest > HIGHEST_LABEL:
            raise DataError(f"{layers.path}: {_too_high(highest)}")
        learnt[slab] = np.where(is_unknown, IGNORED, values)
    return learnt


def unnamed_labels(labels: Iterable[int], names: Mapping[int, str], ignored: int | None) -> str:
    """What is wrong with the labels of a map if the list names some of them not, in words; nothing if all is well.

    >>> unnamed_labels([0, 1, 7], {1: "spleen"}, None)
    'holds 7, which the list does not name; correct the map or the list'
    """
    strange = [label for label in labels if label not in (0, ignored) and label not in names]
    if not strange:
        return ""
    shown = ", ".join(f"{label:g}" for label in strange[:_SHOWN]) + (", ..." if len(strange) > _SHOWN else "")
    if IGNORED in strange:
        return f"holds {shown}, which the list does not name; {_TO_IGNORE}"
    return f"holds {shown}, which the list does not name; correct the map or the list"


def undrawn_labels(labels: Iterable[int], names: Mapping[int, str], annotated: Collection[int] | None) -> str:
    """What is wrong with the labels of a map if its case was not annotated for some of them, in words.

    >>> undrawn_labels([0, 1, 2], {1: "spleen", 2: "liver"}, {1})
    "holds liver, which 'annotated' leaves out; correct the map or the list"
    """
    strange = [names[label] for label in labels if annotated is not None and label in names and label not in annotated]
    return f"holds {', '.join(strange[:_SHOWN])}, which 'annotated' leaves out; correct the map or the list" * bool(
        strange
    )


def _too_high(label: int) -> str:
    if label == IGNORED:
        return f"holds the label 255, which the list does not name; {_TO_IGNORE}"
    return f"holds the label {label}, but a network's labels go up to {HIGHEST_LABEL}; renumber the label maps"
