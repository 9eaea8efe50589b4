"""The values of label maps: whole numbers of any size, found slab by slab without a copy of the whole."""

from collections import Counter
from collections.abc import Iterator, Mapping

import numpy as np

from medssm.data.scans.volume import Volume
from medssm.errors import DataError

# Integers stored under a scale come back this near to what they were.
NEARLY_WHOLE = 1e-3

# Voxels of a slab, as near as whole planes come to it.
SLAB_VOXELS = 1 << 22

# The whole numbers that floats keep without gaps, by their bytes.
_EXACT_UP_TO = {2: 1 << 11, 4: 1 << 24, 8: 1 << 53}


def label_array(volume: Volume) -> tuple[np.ndarray, tuple[str, ...]]:
    """The labels of a map as unsigned integers (X, Y, Z), and what a user should know of them, a sentence each.

    Integers stay as they are stored, whatever their size. Floats within 0.001 of a whole number are rounded, and
    voxels that are no number count as background.

    Raises: DataError if the map holds fractions, negative numbers, or floats too large to tell whole numbers apart.
    """
    array = volume.array
    if array.dtype.kind == "b":
        return array.view(np.uint8), ()
    if array.dtype.kind == "f":
        return _from_floats(volume)
    if array.dtype.kind == "i":
        if any(array[slab].min() < 0 for slab in slabs(array)):
            raise DataError(f"{volume.path}: holds negative values, so it is no label map")
        return array.view(f"u{array.dtype.itemsize}"), ()
    if array.dtype.kind != "u":
        raise DataError(f"{volume.path}: voxels of type {array.dtype} are no labels; give whole numbers")
    return array, ()


def _from_floats(volume: Volume) -> tuple[np.ndarray, tuple[str, ...]]:
    array, path = volume.array, volume.path
    highest, rounded, missing = 0.0, 0, 0
    for slab in slabs(array):
        values = array[slab]
        known = values[~np.isnan(values)]
        missing += values.size - known.size
        if not np.isfinite(known).all():
            raise DataError(f"{path}: holds infinite values, so it is no label map")
        apart = np.abs(known - np.rint(known))
        if apart.max(initial=0) > NEARLY_WHOLE:
            raise DataError(f"{path}: holds values that are no whole numbers, so it is no label map")
        if known.min(initial=0) < -NEARLY_WHOLE:
            raise DataError(f"{path}: holds negative values, so it is no label map")
        rounded += int(np.count_nonzero(apart))
        highest = max(highest, float(known.max(initial=0)))
    if highest > _EXACT_UP_TO[array.dtype.itemsize]:
        raise DataError(
            f"{path}: labels up to {highest:.10g} are stored as {8 * array.dtype.itemsize}-bit floats, which keep "
            f"whole numbers only up to {_EXACT_UP_TO[array.dtype.itemsize]}; write the label map as integers"
        )
    labels = np.empty_like(array, np.min_scalar_type(round(highest)))
    for slab in slabs(array):
        labels[slab] = np.rint(np.nan_to_num(array[slab], nan=0.0))
    notes = []
    if rounded:
        notes.append(f"{path}: {rounded} voxels were rounded to the whole number within {NEARLY_WHOLE:g} of them")
    if missing:
        notes.append(f"{path}: {missing} voxels are no number (NaN); they count as background")
    return labels, tuple(notes)


def slabs(array: np.ndarray) -> Iterator[tuple[slice, ...]]:
    """Indices of slabs that are together an array of any shape, each of a few million voxels and together in memory."""
    axis = int(np.argmax(np.abs(array.strides)))
    thickness = max(1, SLAB_VOXELS * array.shape[axis] // max(array.size, 1))
    for start in range(0, array.shape[axis], thickness):
        yield (slice(None),) * axis + (slice(start, start + thickness),)


def label_counts(labels: np.ndarray) -> dict[int, int]:
    """Label value -> voxels, of every value that occurs, in the order of the values.

    Args:
        labels: unsigned integers of any shape.

    >>> label_counts(np.array([[0, 7], [7, 614454277]], np.uint32))
    {0: 1, 7: 2, 614454277: 1}
    """
    counts: Counter[int] = Counter()
    for slab in slabs(labels):
        values, voxels = _unique(labels[slab])
        counts.update(dict(zip(values.tolist(), voxels.tolist(), strict=True)))
    return dict(sorted(counts.items()))


def label_boxes(labels: np.ndarray, highest: int) -> dict[int, tuple[slice, ...]]:
    """Label value -> the box around it, of every value from 1 to `highest` that occurs in a map (X, Y, Z)."""
    from scipy.ndimage import find_objects  # takes a third of a second to import, and most predictions need none

    if labels.flags.f_contiguous:  # walked as it lies
        boxes = [box and box[::-1] for box in find_objects(labels.T, max_label=highest)]
    else:
        boxes = find_objects(labels, max_label=highest)
    return {label: box for label, box in enumerate(boxes, start=1) if box is not None}


def _unique(slab: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if slab.dtype.itemsize <= 2:
        counts = np.bincount(slab.ravel(order="K"))
        values = np.flatnonzero(counts)
        return values, counts[values]
    labelled = slab[slab != 0]  # sorting the background would take most of the time
    values, counts = np.unique(labelled, return_counts=True)
    zeros = slab.size - labelled.size
    return (np.append(values, values.dtype.type(0)), np.append(counts, zeros)) if zeros else (values, counts)


def renumbered(labels: np.ndarray, numbers: Mapping[int, int]) -> np.ndarray:
    """The labels under other numbers, in the smallest type that holds them; a value without a number becomes 0.

    Args:
        labels: unsigned integers (X, Y, Z).
        numbers: label value -> new number.

    >>> renumbered(np.array([0, 7, 614454277], np.uint32), {7: 1, 614454277: 2}).tolist()
    [0, 1, 2]
    """
    known = sorted(value for value in numbers if value <= np.iinfo(labels.dtype).max)
    new = np.array([0, *(numbers[value] for value in known)], np.min_scalar_type(max(numbers.values(), default=0)))
    values = np.array(known, labels.dtype)
    out = np.empty_like(labels, new.dtype)
    for slab in slabs(labels):
        out[slab] = new[_places(labels[slab], values)]
    return out


def _places(slab: np.ndarray, values: np.ndarray) -> np.ndarray:
    """1 + the place of each voxel's value in `values`, which are sorted; 0 where it is none of them."""
    if slab.dtype.itemsize <= 2:
        table = np.zeros(1 << (8 * slab.dtype.itemsize), np.intp)
        table[values] = np.arange(1, len(values) + 1)
        return table[slab]
    places = np.searchsorted(values, slab)
    found = np.append(values, values.dtype.type(0))[places] == slab
    return np.where(found & (places < len(values)), places + 1, 0)
