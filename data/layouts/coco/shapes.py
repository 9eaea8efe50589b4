"""Outlines and run lengths as COCO writes them, and the masks that they stand for."""

from typing import Any

import numpy as np
from pycocotools import mask as coco_masks

from medssm.data.layouts.coco.entries import EntryError, is_number

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


def encoded(segmentation: Any, height: int, width: int) -> bytes:
    """The compressed run lengths of a shape in an image of this size.

    Args:
        segmentation: polygons [[x, y, x, y, ...], ...] in pixels of which those of fewer than three points are left
            out, or run lengths {"size": [height, width], "counts": list or text}.

    Raises: ShapeFault if it is no shape; EntryError if it is neither of both, or holds something else than numbers.
    Source: pycocotools; what counts as a shape is as in MMDetection's `LoadAnnotations`.
    """
    if isinstance(segmentation, dict):
        return _encoded_run_lengths(segmentation, height, width)
    if segmentation is not None and not isinstance(segmentation, list):
        raise EntryError("its segmentation is neither a list of polygons nor run lengths")
    polygons = polygons_of(segmentation)
    if not polygons:
        raise ShapeFault("no-shape")
    if any(_is_far(polygon, height, width) for polygon in polygons):
        raise ShapeFault("outline-far")
    shapes = coco_masks.frPyObjects([list(map(float, polygon)) for polygon in polygons], height, width)
    while len(shapes) > 1:
        shapes = [coco_masks.merge(shapes[start : start + _UNITED]) for start in range(0, len(shapes), _UNITED)]
    return shapes[0]["counts"]


def decoded(counts: bytes, height: int, width: int) -> np.ndarray:
    """The mask (height, width), uint8 of 0 and 1, of compressed run lengths."""
    return coco_masks.decode({"size": [height, width], "counts": counts})


def polygons_of(segmentation: Any) -> list[list[float]]:
    """The polygons of at least three points; none of run lengths.

    Raises: EntryError if one holds something else than numbers.
    """
    if not isinstance(segmentation, list):
        return []
    polygons = [
        part
        for part in segmentation
        if isinstance(part, list) and len(part) % 2 == 0 and len(part) >= _FEWEST_COORDINATES
    ]
    if not all(is_number(value) for polygon in polygons for value in polygon):
        raise EntryError("its segmentation holds a polygon of something else than numbers")
    return polygons


def _is_far(polygon: list[float], height: int, width: int) -> bool:
    """Whether points lie many times the image's size away, or the outline is longer than any: it is of no object."""
    x, y = np.array(polygon, np.float64).reshape(-1, 2).T
    if max(np.abs(x).max() / width, np.abs(y).max() / height) > _FARTHEST:
        return True
    steps = np.maximum(np.abs(x - np.roll(x, 1)), np.abs(y - np.roll(y, 1)))
    return bool(steps.sum() > _LONGEST_OUTLINE)


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
