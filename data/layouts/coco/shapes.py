"""Outlines and run lengths as COCO writes them, and the masks that they stand for."""

from typing import Any

import numpy as np
from pycocotools import mask as coco_masks

from medssm.data.layouts.coco.entries import EntryError

# Fewer coordinates make no polygon; pycocotools would take four for a box.
_FEWEST_COORDINATES = 6
# Sizes of the image: what lies beyond is no outline on it, and pycocotools would count in too few bits.
_FARTHEST = 10
# pycocotools keeps five points a pixel of an outline's length: some 200 MB for this one, more than any photograph has.
_LONGEST_OUTLINE = 1e6
# Shapes that are united at once: pycocotools takes the square of their number in time.
_UNITED = 16
# Letters of a run length in COCO's text: seven hold 35 bits, more than two lengths of an image can differ by.
_LETTERS = 7


class ShapeFault(Exception):
    """No mask can be made.

    Attributes:
        kind: why, in a short name: "no-shape", "outline-far", "run-length-size" or "run-length".
    """

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


def encoded(segmentation: Any, height: int, width: int) -> tuple[bytes, list[np.ndarray]]:
    """The compressed run lengths of a shape in an image of this size, and its polygons, (points, 2) each.

    Args:
        segmentation: polygons [[x, y, x, y, ...], ...] in pixels of which those of fewer than three points are left
            out, or run lengths {"size": [height, width], "counts": list or text}.

    Raises: ShapeFault if it is no shape; EntryError if it is neither of both, or holds something else than numbers.
    Source: pycocotools; what counts as a shape is as in MMDetection's `LoadAnnotations`.
    """
    if isinstance(segmentation, dict):
        return _encoded_run_lengths(segmentation, height, width), []
    if segmentation is not None and not isinstance(segmentation, list):
        raise EntryError("its segmentation is neither a list of polygons nor run lengths")
    polygons = [_points(part) for part in segmentation or () if _is_polygon(part)]
    if not polygons:
        raise ShapeFault("no-shape")
    if any(_is_far(polygon, height, width) for polygon in polygons):
        raise ShapeFault("outline-far")
    shapes = coco_masks.frPyObjects([polygon.ravel() for polygon in polygons], height, width)
    while len(shapes) > 1:
        shapes = [coco_masks.merge(shapes[start : start + _UNITED]) for start in range(0, len(shapes), _UNITED)]
    return shapes[0]["counts"], polygons


def decoded(counts: bytes, height: int, width: int) -> np.ndarray:
    """The mask (height, width), uint8 of 0 and 1, of compressed run lengths."""
    return coco_masks.decode({"size": [height, width], "counts": counts})


def _is_polygon(part: Any) -> bool:
    return isinstance(part, list) and len(part) % 2 == 0 and len(part) >= _FEWEST_COORDINATES


def _points(polygon: list[Any]) -> np.ndarray:
    """(points, 2) float64 of x, y, x, y, ...

    Raises: EntryError if some is no finite number.
    """
    try:
        points = np.array(polygon)
    except ValueError:  # lists of several lengths among them
        points = np.array(None)
    if points.ndim != 1 or points.dtype.kind not in "if" or not np.isfinite(points).all():
        raise EntryError("its segmentation holds a polygon of something else than numbers")
    return points.astype(np.float64).reshape(-1, 2)


def _is_far(points: np.ndarray, height: int, width: int) -> bool:
    """Whether points lie many times the image's size away, or the outline is longer than any: it is of no object."""
    if (np.abs(points).max(0) > (_FARTHEST * width, _FARTHEST * height)).any():
        return True
    steps = np.abs(np.diff(points, axis=0)).max(1).sum() + np.abs(points[0] - points[-1]).max()
    return bool(steps > _LONGEST_OUTLINE)


def _encoded_run_lengths(segmentation: dict[str, Any], height: int, width: int) -> bytes:
    """Compressed, if they fill the image exactly: pycocotools would write past the mask's end."""
    if not {"size", "counts"} <= segmentation.keys():
        raise EntryError("its segmentation has no size or no counts")
    if segmentation["size"] != [height, width]:
        raise ShapeFault("run-length-size")
    counts = segmentation["counts"]
    if isinstance(counts, str):
        try:
            text = counts.encode("ascii")
            if sum(uncompressed(text)) == height * width:
                return text
        except ValueError as error:
            raise ShapeFault("run-length") from error
    elif _is_run_lengths(counts) and sum(counts) == height * width:
        return coco_masks.frPyObjects({"size": [height, width], "counts": counts}, height, width)["counts"]
    raise ShapeFault("run-length")


def _is_run_lengths(counts: Any) -> bool:
    return isinstance(counts, list) and all(type(count) is int and count >= 0 for count in counts)


def uncompressed(counts: bytes) -> list[int]:
    """The run lengths that COCO's text stands for.

    Each is a number in base 32, lowest digits first, bit 5 of a letter says that more follow and bit 4 of the last one
    is the sign; from the fourth on it is the difference from the one before the last.

    >>> uncompressed(coco_masks.encode(np.asfortranarray([[0, 1], [0, 1]], np.uint8))["counts"])
    [2, 2]

    Raises: ValueError if a letter is none, the text ends within a number, or a length is negative or too long.
    """
    lengths: list[int] = []
    value = shift = 0
    for letter in counts:
        digit = letter - 48
        if not 0 <= digit < 64 or shift > 5 * (_LETTERS - 1):
            raise ValueError("no run length")
        value |= (digit & 31) << shift
        shift += 5
        if digit & 32:
            continue
        if digit & 16:
            value -= 1 << shift
        if len(lengths) > 2:
            value += lengths[-2]
        if value < 0:
            raise ValueError("a run length is negative")
        lengths.append(value)
        value = shift = 0
    if shift:
        raise ValueError("the run lengths end within a number")
    return lengths
