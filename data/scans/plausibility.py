"""Whether the values of a scan are what a network was trained on: found out before an answer is believed."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from medssm.data.scans.label_values import slabs
from medssm.data.scans.volume import Volume
from medssm.errors import DataError

# Hounsfield units of what is in every CT of a body: air below the first, fat between the other two.
AIR_BELOW, FAT = -200.0, (-150.0, -20.0)
# The share of a scan's voxels that is enough to say that there is some.
_SOME = 0.001
# No Hounsfield unit is beyond the first; padding lies so far below the values of the picture, and is not air itself.
_MOST, _GAP, _AIR = 1e5, 100.0, -1000.0
# Where soft tissue lies when 1024 was added so that no value is negative.
_SHIFTED = (900.0, 1200.0)
# No patient is sampled outside of these mm a voxel, nor is a scan of one outside of these mm along its longest side.
_SPACINGS, _LONGEST_SIDES = (0.05, 20.0), (5.0, 2500.0)
_LOOKED_AT = 1_000_000  # voxels, evenly spread, of which shares are taken
# A label map has no more values than this, and where it has a label this share of the next voxels have the same one.
_LABELS, _ALIKE = 128, 0.6


class ValueSummary(NamedTuple):
    """The values of a scan.

    Attributes:
        lowest, highest: of the finite ones; infinities the wrong way round if there are none.
        not_finite: how many are NaN or infinite.
        sample: (n,) float32, finite values that are evenly spread over the scan.
    """

    lowest: float
    highest: float
    not_finite: int
    sample: np.ndarray

    def share(self, low: float, high: float) -> float:
        """The share of the voxels with a value from low to high."""
        return float(np.mean((self.sample >= low) & (self.sample <= high))) if len(self.sample) else 0.0

    @property
    def without_padding(self) -> "ValueSummary":
        """Without the lowest value where it is not that of air and lies far below all others, as what fills corners."""
        picture = self.sample[self.sample > self.lowest]
        if self.lowest == _AIR or not len(picture) or picture.min() < self.lowest + _GAP:
            return self
        return self._replace(lowest=float(picture.min()), sample=picture)


def summarise_values(array: np.ndarray) -> ValueSummary:
    """One pass over a scan (X, Y, Z), plane by plane as it may be mapped from a file."""
    lowest, highest, not_finite = np.inf, -np.inf, 0
    for z in range(array.shape[2]):
        plane = np.asarray(array[..., z])
        finite = plane[np.isfinite(plane)] if plane.dtype.kind == "f" else plane
        not_finite += plane.size - finite.size
        if finite.size:
            lowest, highest = min(lowest, float(finite.min())), max(highest, float(finite.max()))
    step = max(1, round((array.size / _LOOKED_AT) ** (1 / 3)))
    sample = np.asarray(array[::step, ::step, ::step], np.float32).ravel()
    return ValueSummary(lowest, highest, not_finite, sample[np.isfinite(sample)])


def refuse_empty(volume: Volume, window: tuple[float, float] | None, values: ValueSummary) -> None:
    """Raises DataError if a scan shows nothing within the range of values (low, high) that a network looks at.

    Args:
        window: None where every range will do.
    """
    low, high = window or (-np.inf, np.inf)
    if values.lowest > values.highest:
        raise DataError(f"{volume.path}: none of its voxels holds a number; export the scan again")
    if values.lowest == values.highest and volume.array.size > 1:
        raise DataError(f"{volume.path}: holds no picture, every voxel is {values.lowest:g}; export the scan again")
    if values.highest <= low or values.lowest >= high:
        raise DataError(
            f"{volume.path}: its values, {values.lowest:g} to {values.highest:g}, all lie outside of {low:g} to "
            f"{high:g}, which the network looks at; give the scan in the unit of its training (HU for CT)"
        )


def value_notes(window: tuple[float, float] | None, values: ValueSummary, modality: str = "") -> Iterator[str]:
    """What is strange about a scan's values for a network that looks at those in a window (low, high), or at all.

    A window with negative values is one of Hounsfield units; every CT of a body has air or fat in it.

    Args:
        modality: that the scan's header names, such as "MR"; "" where it names none.
    """
    if values.not_finite:
        yield f"{values.not_finite} voxels are NaN or infinite; they count as air"
    if window is None:
        return
    low, high = window
    if low < 0 and (strange := not_hounsfield(values, modality)):
        yield f"beware: {strange}; the network expects Hounsfield units, and what it finds may be wrong"
    elif values.share(high, np.inf) > 0.5:
        part = values.share(high, np.inf)
        yield f"beware: {part:.0%} of the voxels are brighter than {high:g}, the most that the network tells apart"
    elif values.share(low, high) < _SOME:
        yield f"beware: hardly a voxel lies within {low:g} to {high:g}, which is all that the network looks at"


def not_hounsfield(values: ValueSummary, modality: str = "") -> str:
    """Why a scan's values are no Hounsfield units of a body, in words; nothing if they may well be."""
    if modality not in ("", "CT"):
        return f"the header says that its modality is {modality}, not CT"
    if max(-values.lowest, values.highest) > _MOST:
        return f"values from {values.lowest:g} to {values.highest:g} are far beyond those of any tissue or metal"
    values = values.without_padding
    if values.share(-np.inf, AIR_BELOW) >= _SOME or values.share(*FAT) >= _SOME:
        return ""
    found = f"values from {values.lowest:g} to {values.highest:g} without air or fat"
    if values.lowest >= 0 and values.highest <= 255:
        return f"{found} look like a picture of 256 greys"
    if values.share(*_SHIFTED) >= 0.05:
        return f"{found} look like Hounsfield units to which 1024 was added"
    return f"{found} look like MR or another modality than CT"


def strange_size(volume: Volume) -> str:
    """Why the spacing of a scan is hardly that of a patient, as with a wrong unit, in words; nothing if it may be."""
    spacing = volume.spacing
    longest = max(size * count for size, count in zip(spacing, volume.shape, strict=True))
    sizes = " x ".join(f"{size:g}" for size in spacing)
    if not (_SPACINGS[0] <= min(spacing) and max(spacing) <= _SPACINGS[1]):
        usual = f"{_SPACINGS[0]:g} to {_SPACINGS[1]:g} mm"
        return (
            f"a spacing of {sizes} mm is not within {usual}, as scans of patients are; correct the header or its unit"
        )
    if not _LONGEST_SIDES[0] <= longest <= _LONGEST_SIDES[1]:
        made = (
            f"{round(longest, 1):g} mm, {'larger' if longest > _LONGEST_SIDES[1] else 'smaller'} than one of a patient"
        )
        return f"a spacing of {sizes} mm makes a scan of {made}; correct the header or its unit"
    return ""


def is_label_map(volume: Volume) -> bool:
    """Whether a volume holds labels rather than a picture: it names them, or has few whole values in large pieces."""
    if volume.label_names:
        return True
    found: set[float] = set()
    alike = neighbours = 0
    for slab in slabs(volume.array):
        values = np.asarray(volume.array[slab])
        if values.dtype.kind == "c" or values.min() < 0 or not _are_few_and_whole(values):
            return False
        found.update(np.unique(values).tolist())
        if len(found) > _LABELS:
            return False
        labelled = values[:-1] > 0
        neighbours += int(np.count_nonzero(labelled))
        alike += int(np.count_nonzero(labelled & (values[:-1] == values[1:])))
    return len(found) > 1 and alike > _ALIKE * neighbours


def _are_few_and_whole(values: np.ndarray) -> bool:
    """Whether that may be so, asked of a part: most pictures are told by it."""
    part = values.ravel(order="K")[:: max(1, values.size // 10_000)]
    return len(np.unique(part)) <= _LABELS and bool((values == np.rint(values)).all())
