"""The scores of one case, organ by organ."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np
from scipy.ndimage import find_objects

from medssm.errors import GeometryError
from medssm.metrics.surface import surface_agreement

Status = Literal["scored", "missed", "spurious", "absent"]


class OrganScore(NamedTuple):
    """How one organ of one case was segmented.

    Attributes:
        case: the case's name.
        label, organ: the label value and its name.
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


def score_case(
    prediction: np.ndarray,
    reference: np.ndarray,
    spacing: tuple[float, float, float],
    names: Mapping[int, str],
    tolerance: float = 2.0,
    case: str = "",
) -> list[OrganScore]:
    """The scores of every organ in `names`, in their order.

    Args:
        prediction, reference: label maps (X, Y, Z) on one grid.
        spacing: voxel size (x, y, z) in mm.
        names: label value -> name.
        tolerance: of the surface Dice, in mm.
        case: the name that the scores carry.

    Raises: GeometryError if the shapes differ.
    """
    if prediction.shape != reference.shape:
        raise GeometryError(f"{case}: prediction {prediction.shape} and reference {reference.shape} differ in shape")
    boxes = [find_objects(np.ascontiguousarray(labels), max_label=max(names)) for labels in (prediction, reference)]
    diagonal = float(np.linalg.norm(np.multiply(prediction.shape, spacing)))
    ml = float(np.prod(spacing)) / 1000
    scores = []
    for label, organ in names.items():
        box = _union(boxes[0][label - 1], boxes[1][label - 1])
        if box is None:
            scores.append(OrganScore(case, label, organ, "absent", None, None, None, 0.0, 0.0))
            continue
        predicted, expected = prediction[box] == label, reference[box] == label
        volumes = (float(predicted.sum()) * ml, float(expected.sum()) * ml)
        if not expected.any() or not predicted.any():
            status: Status = "missed" if expected.any() else "spurious"
            scores.append(OrganScore(case, label, organ, status, 0.0, diagonal, 0.0, *volumes))
            continue
        dice = 2 * float((predicted & expected).sum()) / float(predicted.sum() + expected.sum())
        hd95, surface_dice = surface_agreement(predicted, expected, spacing, tolerance)
        scores.append(OrganScore(case, label, organ, "scored", dice, hd95, surface_dice, *volumes))
    return scores


def _union(a: tuple[slice, ...] | None, b: tuple[slice, ...] | None) -> tuple[slice, ...] | None:
    """The smallest box around both boxes; None if there is neither."""
    if a is None or b is None:
        return a or b
    return tuple(slice(min(i.start, j.start), max(i.stop, j.stop)) for i, j in zip(a, b, strict=True))
