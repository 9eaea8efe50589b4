"""Where a page's crosshair goes, in mm."""

import numpy as np
from scipy import ndimage

from medssm.viewing.page.overlay import Overlay
from medssm.viewing.page.reduction import PlacedArray
from medssm.viewing.slices import fullest_index


def start_place(labels: PlacedArray) -> list[float]:
    """Where the planes with the largest areas of label meet, RAS+ mm; the middle of a scan without labels."""
    return _in_mm(labels.affine, [fullest_index(labels.array, axis) for axis in range(3)])


def organ_places(overlay: Overlay, shown: PlacedArray) -> dict[int, list[float]]:
    """Label value -> a point inside the organ in its largest axial slice, near the slice's middle, RAS+ mm.

    Args:
        shown: the overlay's array as the page has it, perhaps reduced; an organ that was lost there has no place.
    """
    boxes = ndimage.find_objects(shown.array)
    places = {}
    for label in overlay.labels:
        entries = [n for n, pair in enumerate(overlay.pairs, start=1) if label in pair]
        found = [boxes[n - 1] for n in entries if n <= len(boxes) and boxes[n - 1] is not None]
        if found:
            box = tuple(_hull([parts[axis] for parts in found]) for axis in range(3))
            inside = _middle_of_largest_slice(np.isin(shown.array[box], entries))
            places[label] = _in_mm(shown.affine, [part.start + n for part, n in zip(box, inside, strict=True)])
    return places


def _hull(parts: list[slice]) -> slice:
    return slice(min(part.start for part in parts), max(part.stop for part in parts))


def _middle_of_largest_slice(mask: np.ndarray) -> tuple[int, int, int]:
    """The voxel of the fullest plane across z that is nearest to the mean of that plane's voxels."""
    k = fullest_index(mask, 2)
    points = np.argwhere(mask[..., k])
    i, j = points[((points - points.mean(axis=0)) ** 2).sum(axis=1).argmin()].tolist()
    return i, j, k


def _in_mm(affine: np.ndarray, index: list[int]) -> list[float]:
    return (affine @ [*index, 1.0])[:3].tolist()
