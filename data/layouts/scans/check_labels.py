"""Faults of one label map, and of its fit to the image."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import nibabel as nib
import numpy as np

from medssm.data.layouts.findings import Remark
from medssm.data.scans.alignment import turned_like
from medssm.data.scans.formats.voxels import times
from medssm.data.scans.geometry import grid_offset, is_same_grid
from medssm.data.scans.label_values import NEARLY_WHOLE
from medssm.data.scans.labelled import unnamed_labels
from medssm.data.scans.volume import Volume

# More values than any label map has: TotalSegmentator's has 118.
_MOST_LABELS = 128


def check_label(
    path: Path, array: np.ndarray, names: Mapping[int, str], ignored: int | None = None
) -> Iterator[Remark]:
    """What no label map (X, Y, Z) of this dataset should hold; of its values at most one fault, the most telling."""
    if array.dtype.kind == "f":
        yield Remark(path, "float-labels", f"labels are stored as {array.dtype}; store them as uint8")
    values = _rounded(_distinct(array))
    yield from _values(path, values, names, ignored)
    if missing := [name for label, name in names.items() if label not in values]:
        is_partial = 0 < len(missing) < len(names)
        if is_partial:
            yield Remark(path, "missing-organ", f"has no {', '.join(missing)}", is_note=True)


def _distinct(array: np.ndarray) -> np.ndarray:
    """The values that occur, sorted; of an image only the first few thousand."""
    values = np.empty(0, array.dtype)
    for k in range(array.shape[2]):
        values = np.union1d(values, array[..., k])
        if len(values) > 32 * _MOST_LABELS:
            break
    return values


def _rounded(values: np.ndarray) -> np.ndarray:
    """The values, those next to a whole number as this, which is how label maps are read."""
    if values.dtype.kind != "f":
        return values
    whole = np.rint(values)
    return np.unique(np.where(np.abs(values - whole) <= NEARLY_WHOLE, whole, values))


def _values(path: Path, values: np.ndarray, names: Mapping[int, str], ignored: int | None) -> Iterator[Remark]:
    strange = unnamed_labels(values.tolist(), names, ignored)
    found = f"{len(values)} values from {values.min():g} to {values.max():g}"
    if not values.any():
        yield Remark(path, "empty-label", "nothing is labelled: the case trains as one without any organ", is_note=True)
    elif values.min() < 0 or len(values) > max(_MOST_LABELS, 2 * len(names)):
        yield Remark(path, "image-as-label", f"holds {found}: an image lies in the label map's place; exchange it")
    elif not np.isfinite(values).all() or not np.array_equal(values, np.round(values)):
        yield Remark(path, "label-values", f"holds fractions ({found}); resample label maps with nearest neighbour")
    elif strange and values.max() == 255 and len(values) <= 2:
        yield Remark(path, "mask-255", "is a mask of 0 and 255, no label map; give each organ its value from the list")
    elif strange:
        yield Remark(path, "label-values", strange)


def check_pair(path: Path, label: Volume, image: Volume) -> Iterator[Remark]:
    """Whether a label map lies on its image's grid; one whose axes merely run another way does."""
    axes = ["".join(nib.aff2axcodes(volume.affine)) for volume in (label, image)]
    stored, label = label, turned_like(label, image)
    if label.shape != image.shape:
        shapes = f"shape {times(label.shape)}, but {image.path.name} has {times(image.shape)}"
        yield Remark(path, "shape", f"{shapes}; resample the label map to its image")
        return
    if not is_same_grid(image.shape, image.affine, label.affine):
        offset = grid_offset(image.shape, image.affine, label.affine)
        yield Remark(path, "affine", f"lies up to {offset:.3g} mm off {image.path.name}; correct the header")
    elif label is not stored:
        turned = f"has axes {axes[0]} where {image.path.name} has {axes[1]}; it is turned when it is read"
        yield Remark(path, "turned", turned, is_note=True)
