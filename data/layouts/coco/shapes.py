"""Outlines and run lengths as COCO writes them, and the masks that they stand for."""

from typing import Any

import numpy as np
from pycocotools import mask as coco_masks

# Fewer coordinates make no polygon; pycocotools would take four for a box.
_FEWEST_COORDINATES = 6


def encoded(segmentation: Any, height: int, width: int) -> bytes | None:
    """The compressed run lengths of a shape in an image of this size; None if it is none.

    Args:
        segmentation: polygons [[x, y, x, y, ...], ...] in pixels of which those of fewer than three points are left
            out, or run lengths {"size": [height, width], "counts": list or text}.

    Source: pycocotools; what counts as a shape is as in MMDetection's `LoadAnnotations`.
    """
    try:
        if isinstance(segmentation, list):
            polygons = [polygon for polygon in segmentation if is_polygon(polygon)]
            if not polygons:
                return None
            return coco_masks.merge(coco_masks.frPyObjects(polygons, height, width))["counts"]
        if list(segmentation["size"]) != [height, width]:
            return None
        return _run_lengths(segmentation["counts"], height, width)
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def decoded(counts: bytes, height: int, width: int) -> np.ndarray:
    """The mask (height, width), uint8 of 0 and 1, of compressed run lengths."""
    return coco_masks.decode({"size": [height, width], "counts": counts})


def is_polygon(coordinates: Any) -> bool:
    """True for a list of at least three points."""
    return isinstance(coordinates, list) and len(coordinates) % 2 == 0 and len(coordinates) >= _FEWEST_COORDINATES


def _run_lengths(counts: Any, height: int, width: int) -> bytes | None:
    """Compressed, if they fill the image exactly: pycocotools would write past the mask's end."""
    if isinstance(counts, list):
        if any(count < 0 for count in counts) or sum(counts) != height * width:
            return None
        return coco_masks.frPyObjects({"size": [height, width], "counts": counts}, height, width)["counts"]
    counts = counts.encode("ascii") if isinstance(counts, str) else bytes(counts)
    return counts if sum(uncompressed(counts)) == height * width else None


def uncompressed(counts: bytes) -> list[int]:
    """The run lengths that COCO's text stands for.

    Each is a number in base 32, lowest digits first, bit 5 of a letter says that more follow and bit 4 of the last one
    is the sign; from the fourth on it is the difference from the one before the last.

    >>> uncompressed(coco_masks.encode(np.asfortranarray([[0, 1], [0, 1]], np.uint8))["counts"])
    [2, 2]

    Raises: ValueError if the text ends within a number, or a length is negative.
    """
    lengths: list[int] = []
    value = shift = 0
    for letter in counts:
        digit = letter - 48
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
