"""Planes of a scan as radiologists look at them, and which slices of a segmentation are worth a look."""

from typing import NamedTuple

import nibabel as nib
import numpy as np

from medssm.data.scans.geometry import spacing_of
from medssm.data.scans.label_values import label_counts, renumbered

# Grey values of soft tissue in CT, in Hounsfield units; another scan is shown between two of its percentiles.
SOFT_TISSUE = (-160.0, 240.0)

# An organ is shown where a slice has at least this share of the organ's largest area.
SHOWN_SHARE = 0.5

# Axes that are less than this many degrees from the body's are not called oblique.
STRAIGHT = 1.0


class Plane(NamedTuple):
    """A plane of the RAS grid as radiologists look at it.

    Attributes:
        title: its name.
        axis: the RAS axis that it is perpendicular to.
        across, up: RAS axes along the picture.
        mirrored: the picture runs against `across`, so that the patient's right is on the left.
        marks: letters at left, right, bottom and top.
    """

    title: str
    axis: int
    across: int
    up: int
    mirrored: bool
    marks: str


PLANES = (
    Plane("axial", 2, 0, 1, True, "RLPA"),
    Plane("coronal", 1, 0, 2, True, "RLIS"),
    Plane("sagittal", 0, 1, 2, True, "APIS"),
)


def plane_picture(array: np.ndarray, plane: Plane, index: int) -> np.ndarray:
    """One plane of a RAS array with rows from top to bottom of the picture, (rows, columns).

    >>> plane_picture(np.arange(8).reshape(2, 2, 2), PLANES[0], 0)  # x to the left, y up
    array([[6, 2],
           [4, 0]])
    """
    cut = np.take(array, index, axis=plane.axis)
    rows_and_columns = cut.T if plane.across < plane.up else cut
    picture = rows_and_columns[::-1]
    return picture[:, ::-1] if plane.mirrored else picture


def fullest_index(labels: np.ndarray, axis: int) -> int:
    """The plane across `axis` of labels (X, Y, Z) with the most labelled voxels; the middle one without any label."""
    others = tuple(a for a in range(3) if a != axis)
    area = np.count_nonzero(labels, axis=others)
    return int(area.argmax()) if area.any() else labels.shape[axis] // 2


def organ_slices(labels: np.ndarray, axis: int, shown: int, limit: int) -> list[int]:
    """Up to `limit` planes more across `axis` of labels (X, Y, Z), with organs that `shown` has not, in order.

    Each is the one that adds most: the sum over organs not yet shown of their area there, as a share of their largest.

    Args:
        labels: unsigned integers.
    """
    values = [label for label in label_counts(labels) if label]
    codes = renumbered(labels, {label: code for code, label in enumerate(values, start=1)})
    slices = np.moveaxis(codes, axis, 0)
    area = np.stack([np.bincount(cut.ravel(), minlength=len(values) + 1) for cut in slices])[:, 1:]
    share = area / np.maximum(area.max(axis=0), 1)
    chosen: list[int] = []
    while len(chosen) < limit:
        share = share * (share[chosen[-1] if chosen else shown] < SHOWN_SHARE)
        if not share.any():
            break
        chosen.append(int(share.sum(axis=1).argmax()))
    return sorted(chosen)


def grey_window(array: np.ndarray) -> tuple[float, float]:
    """The values of a scan (X, Y, Z) shown black and white: soft tissue for what looks like CT, else percentiles."""
    step = max(round((array.size / 200_000) ** (1 / 3)), 1)
    sample = array[::step, ::step, ::step].astype(np.float64)
    sample = sample[np.isfinite(sample)]
    if sample.size and sample.min() < -500 and sample.max() > 200:
        return SOFT_TISSUE
    low, high = np.percentile(sample, [1, 99]) if sample.size else (0.0, 1.0)
    return float(low), float(max(high, low + 1e-6))


def degrees_off_axis(affine: np.ndarray) -> float:
    """The largest angle between an axis of the grid of `affine` (4, 4) and the nearest axis of the body.

    >>> degrees_off_axis(np.diag([-2.0, 2.0, 5.0, 1.0]))
    0.0
    """
    turns = nib.io_orientation(affine)[:, 0].astype(int)
    cosines = [abs(affine[row, column]) / spacing_of(affine)[column] for column, row in enumerate(turns)]
    return float(np.degrees(np.arccos(np.clip(min(cosines), 0.0, 1.0))))
