"""The scores of one case, organ by organ."""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np

from medssm.data.scans.geometry import voxel_volume
from medssm.data.scans.label_values import label_boxes, label_counts, renumbered
from medssm.errors import GeometryError
from medssm.metrics.organs import LabelTable, Organ, match_organs
from medssm.metrics.surface import surface_agreement

Status = Literal["scored", "missed", "spurious", "absent"]
Box = tuple[slice, ...]


class OrganScore(NamedTuple):
    """How one organ of one case was segmented.

    Attributes:
        case: the case's name.
        label, organ: a number and a name of its own.
        status: "scored" if both label maps hold the organ, "missed" if only the reference does, "spurious" if only
            the prediction does, "absent" if neither does.
        dice: 2|P and R| / (|P| + |R|); 0 for a missed or spurious organ, None for an absent one.
        hd95: in mm; for a missed or spurious organ the diagonal of the scan, the farthest that anything can be;
            None for an absent one.
        surface_dice: at the tolerance asked for; 0 for a missed or spurious organ, None for an absent one.
        volume_ml, reference_ml: volumes of the organ in the prediction and in the reference.
    """

    case: str
    label: int
    organ: str
    status: Status
    dice: float | None
    hd95: float | None
    surface_dice: float | None
    volume_ml: float
    reference_ml: float


class CodedMap(NamedTuple):
    """Organs by their place in a list, from 1, and where each lies.

    Attributes:
        layers: unsigned integers (X, Y, Z) each, more than one where organs overlap.
        boxes: place of an organ -> the box around it, for each that occurs.
    """

    layers: tuple[np.ndarray, ...]
    boxes: dict[int, Box]

    def mask(self, code: int, box: Box) -> np.ndarray:
        """Where an organ is within a box, boolean, of the shape of the box."""
        first, *others = (layer[box] == code for layer in self.layers)
        for other in others:
            first |= other
        return first


def score_case(
    prediction: np.ndarray,
    reference: np.ndarray,
    affine: np.ndarray,
    names: Mapping[int, str],
    tolerance: float = 2.0,
    case: str = "",
) -> list[OrganScore]:
    """The scores of two label maps with the same numbers: every organ in `names`, and every label beside them.

    Args:
        prediction, reference: unsigned integers (X, Y, Z) on one grid.
        affine: (4, 4) voxel indices to mm.
        names: label value -> name; a label without one is "label 7".
        tolerance: of the surface Dice, in mm.
        case: the name that the scores carry.

    Raises: GeometryError if the shapes differ.
    """
    ours, theirs = (LabelTable(names, frozenset(label_counts(labels))) for labels in (prediction, reference))
    organs = match_organs(ours, theirs)
    coded = (
        coded_map([prediction], [organ.predicted for organ in organs]),
        coded_map([reference], [organ.expected for organ in organs]),
    )
    return score_organs(*coded, affine, organs, tolerance, case)


def coded_map(layers: Sequence[np.ndarray], labels: Sequence[tuple[int, ...]]) -> CodedMap:
    """The layers of a label map with the places of organs in place of their labels.

    Args:
        layers: unsigned integers (X, Y, Z) each.
        labels: the label values of each organ.
    """
    codes = {label: code for code, of_organ in enumerate(labels, start=1) for label in of_organ}
    coded = tuple(renumbered(layer, codes) for layer in layers)
    boxes: dict[int, Box] = {}
    for layer in coded:
        for code, box in label_boxes(layer, len(labels)).items():
            boxes[code] = _around(boxes[code], box) if code in boxes else box
    return CodedMap(coded, boxes)


def score_organs(
    prediction: CodedMap,
    reference: CodedMap,
    affine: np.ndarray,
    organs: Sequence[Organ],
    tolerance: float,
    case: str,
) -> list[OrganScore]:
    """The scores of organs, in their order.

    Args:
        prediction, reference: on one grid, coded by the place in `organs`.
        affine: (4, 4) voxel indices to mm.
        tolerance: of the surface Dice, in mm.

    Raises: GeometryError if the shapes differ.
    """
    shape, other = prediction.layers[0].shape, reference.layers[0].shape
    if shape != other:
        raise GeometryError(f"{case}: prediction {shape} and reference {other} differ in shape")
    thick = [axis for axis, size in enumerate(shape) if size > 1]
    ml = voxel_volume(affine) / 1000
    scores = []
    for code, organ in enumerate(organs, start=1):
        boxes = [side.boxes[code] for side in (prediction, reference) if code in side.boxes]
        if not boxes:
            scores.append(OrganScore(case, organ.label, organ.name, "absent", None, None, None, 0.0, 0.0))
            continue
        box = _around(boxes[0], boxes[-1])
        predicted, expected = prediction.mask(code, box), reference.mask(code, box)
        sizes = int(np.count_nonzero(predicted)), int(np.count_nonzero(expected))
        status: Status = "scored" if all(sizes) else "missed" if sizes[1] else "spurious"
        measures = (0.0, _diagonal(shape, affine), 0.0)
        if status == "scored":
            dice = 2 * int(np.count_nonzero(predicted & expected)) / sum(sizes)
            ours, theirs = (mask.reshape([mask.shape[axis] for axis in thick]) for mask in (predicted, expected))
            distances = surface_agreement(ours, theirs, affine[:3, thick], tolerance) if thick else (0.0, 1.0)
            measures = (dice, *distances)
        scores.append(OrganScore(case, organ.label, organ.name, status, *measures, *(size * ml for size in sizes)))
    return scores


def _diagonal(shape: Sequence[int], affine: np.ndarray) -> float:
    """The longest diagonal of a scan in mm, from outer corner to outer corner, along a sheared grid as well."""
    signs = np.array([[1, 1, 1], [1, 1, -1], [1, -1, 1], [-1, 1, 1]])
    return float(np.linalg.norm((signs * shape) @ affine[:3, :3].T, axis=1).max())


def _around(first: Box, second: Box) -> Box:
    """The smallest box around both boxes."""
    return tuple(slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(first, second, strict=True))
