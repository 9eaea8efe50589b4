"""Objects on a photograph: boxes, see-through masks with an outline, names and scores."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw
from scipy.ndimage import binary_erosion

from medssm.viewing.lettering import draw_tag, enlarged, enlargement, letter_size, tag_size
from medssm.viewing.palette import Colour, palette

MASK_OPACITY = 0.45

Rectangle = tuple[int, int, int, int]  # left, top, right, bottom; in pixels, the last two excluded


class _Object(NamedTuple):
    frame: Rectangle
    colour: Colour
    text: str


def objects_picture(
    image: np.ndarray,
    boxes: np.ndarray,
    labels: np.ndarray,
    names: Sequence[str],
    scores: np.ndarray | None = None,
    masks: Iterable[np.ndarray] | None = None,
) -> np.ndarray:
    """The photograph with what was found on it, (H, W, 3) uint8; a small one is enlarged by a whole number.

    A class has one colour in every picture. A name that would hide another one is left out, the likelier stays.

    Args:
        image: (H, W, 3) uint8.
        boxes: (n, 4) left, top, right, bottom in pixels of the image.
        labels: (n,) integers, places in `names`; one beyond them is drawn as a number.
        scores: (n,) in [0, 1]; None for references.
        masks: n times (H, W) bool, taken one after the other, so that a generator need not hold all of them.
    """
    factor = enlargement(*image.shape[:2])
    canvas = enlarged(image, factor)
    colours = palette(max(len(names), int(np.max(labels, initial=-1)) + 1, 1))
    tone = [(int(r), int(g), int(b)) for r, g, b in colours[np.asarray(labels, int)]]
    height, width = canvas.shape[:2]
    line = max(round(min(height, width) / 300), 1)
    for mask, colour in zip(masks if masks is not None else (), tone, strict=masks is not None):
        _paint(canvas, mask, colour, factor, line)
    texts = _texts(labels, names, scores)
    frames = [_frame(box * factor, width, height) for box in np.asarray(boxes, float).reshape(-1, 4)]
    order = range(len(frames)) if scores is None else np.argsort(-np.asarray(scores), kind="stable").tolist()
    objects = [_Object(frames[i], tone[i], texts[i]) for i in order]
    picture = Image.fromarray(canvas)
    draw = ImageDraw.Draw(picture)
    for found in reversed(objects):  # the likeliest on top
        _draw_frame(draw, found, line)
    for found, (left, top) in _places(objects, width, height):
        draw_tag(draw, left, top, found.text, letter_size(width, height), found.colour)
    return np.array(picture)


def _paint(canvas: np.ndarray, mask: np.ndarray, colour: Colour, factor: int, line: int) -> None:
    """Lays a mask over the enlarged photograph; touches no more than the rectangle around it."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    inside = enlarged(mask[top:bottom, left:right].astype(bool), factor)
    part = canvas[top * factor : bottom * factor, left * factor : right * factor]
    part[inside] = (MASK_OPACITY * np.array(colour) + (1 - MASK_OPACITY) * part[inside]).round()
    part[inside & ~binary_erosion(inside, iterations=line)] = colour


def _frame(box: np.ndarray, width: int, height: int) -> Rectangle:
    """Whole pixels within the picture, at least one."""
    left, top, right, bottom = np.round(box).astype(int).tolist()
    left, top = min(max(left, 0), width - 1), min(max(top, 0), height - 1)
    return left, top, min(max(right, left + 1), width), min(max(bottom, top + 1), height)


def _draw_frame(draw: ImageDraw.ImageDraw, found: _Object, line: int) -> None:
    left, top, right, bottom = found.frame
    draw.rectangle((left, top, right - 1, bottom - 1), outline=found.colour, width=line + 1)


def _texts(labels: np.ndarray, names: Sequence[str], scores: np.ndarray | None) -> list[str]:
    named = [names[label] if label < len(names) else f"class {label}" for label in np.asarray(labels, int).tolist()]
    if scores is None:
        return named
    return [f"{name} {score:.2f}" for name, score in zip(named, np.asarray(scores).tolist(), strict=True)]


def _places(objects: Iterable[_Object], width: int, height: int) -> Iterator[tuple[_Object, tuple[int, int]]]:
    """Where names go: at a corner of their box, within the picture, none over another."""
    taken: list[Rectangle] = []
    size = letter_size(width, height)
    for found in objects:
        wide, high = tag_size(found.text, size)
        for left, top in _corners(found.frame, wide, high):
            left, top = min(max(left, 0), max(width - wide, 0)), min(max(top, 0), max(height - high, 0))
            place = (left, top, left + wide, top + high)
            if not any(_meet(place, other) for other in taken):
                taken.append(place)
                yield found, (left, top)
                break


def _corners(frame: Rectangle, wide: int, high: int) -> list[tuple[int, int]]:
    """Upper left corners of names: above the box, inside it, below it; at its left, at its right."""
    left, top, right, bottom = frame
    return [(x, y) for y in (top - high, top, bottom - high, bottom) for x in (left, right - wide)]


def _meet(one: Rectangle, other: Rectangle) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
