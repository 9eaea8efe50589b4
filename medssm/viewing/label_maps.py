"""A label map over its photograph, and what share of it each class has."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from medssm.viewing.lettering import draw_tag, enlarged, enlargement, letter_size, side_by_side, tag_size
from medssm.viewing.palette import WHITE, Colour, palette

OPACITY = 0.55
LEGEND_LINES = 8


class ClassShare(NamedTuple):
    """How much of a label map one class covers; `share` is of the pixels that have a class, in [0, 1]."""

    label: int
    name: str
    share: float
    pixels: int


def class_shares(labels: np.ndarray, names: Sequence[str]) -> list[ClassShare]:
    """The classes that a label map (H, W) has, the largest first; values that no name belongs to are left out."""
    pixels = np.bincount(labels.ravel(), minlength=len(names))[: len(names)]
    total = max(int(pixels.sum()), 1)
    order = np.argsort(-pixels, kind="stable").tolist()
    return [ClassShare(i, names[i], float(pixels[i] / total), int(pixels[i])) for i in order if pixels[i]]


def painted(labels: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """A label map (H, W) in the colours (K, 3) of its classes, (H, W, 3) uint8; values from K on, as 255, are black."""
    table = np.concatenate([colours, np.zeros((1, 3))]).astype(np.uint8)
    return table[np.minimum(labels, len(colours))]


def overlay(image: np.ndarray, labels: np.ndarray, colours: np.ndarray, opacity: float = OPACITY) -> np.ndarray:
    """The photograph with see-through colours and a line between classes, (H, W, 3) uint8.

    Args:
        image: (H, W, 3) uint8.
        labels: (H, W), classes from 0; values of K and beyond are not painted.
        colours: (K, 3) uint8 of the classes, such as `palette(K)`.
    """
    paint, photograph = Image.fromarray(painted(labels, colours)), Image.fromarray(image)
    mixed = Image.blend(photograph, paint, opacity)
    mixed.paste(paint, mask=Image.fromarray(_borders(labels)))
    mixed.paste(photograph, mask=Image.fromarray(labels >= len(colours)))
    return np.array(mixed)


def legend(shares: Sequence[ClassShare], colours: np.ndarray, size: int, lines: int = LEGEND_LINES) -> np.ndarray:
    """Names of the largest classes on their colours, with their shares, (h, w, 3) uint8.

    Args:
        colours: (K, 3) uint8 of all classes.
        size: of the letters, in pixels.
    """
    texts = [(f"{share.share:.1%}  {share.name}", _colour(colours[share.label])) for share in shares[:lines]]
    if len(shares) > lines:
        rest = sum(share.share for share in shares[lines:])
        texts.append((f"{rest:.1%}  {len(shares) - lines} more", WHITE))
    sizes = [tag_size(text, size) for text, _ in texts]
    step = tag_size("", size)[1] + size // 4
    canvas = Image.new("RGB", (max((wide for wide, _ in sizes), default=1), max(step * len(texts), 1)), "white")
    draw = ImageDraw.Draw(canvas)
    for line, (text, colour) in enumerate(texts):
        draw_tag(draw, 0, line * step, text, size, colour)
    return np.array(canvas)


def label_map_picture(
    image: np.ndarray,
    labels: np.ndarray,
    names: Sequence[str],
    reference: np.ndarray | None = None,
    colours: np.ndarray | None = None,
    longest: int = 640,
) -> np.ndarray:
    """Side by side: the photograph, the reference if there is one, the prediction, and the legend; (H, W, 3) uint8.

    A tiny photograph is enlarged by a whole number.

    Args:
        image: (H, W, 3) uint8.
        labels, reference: (H, W), classes from 0; values that no name belongs to are not painted.
        colours: (K, 3) uint8 of the classes; by default `palette`.
        longest: pixels of a panel's longer side.
    """
    colours = palette(len(names)) if colours is None else colours
    factor = enlargement(*image.shape[:2])
    photograph = enlarged(image, factor)
    panels = {"image": photograph}
    if reference is not None:
        panels["reference"] = overlay(photograph, enlarged(reference, factor), colours)
    panels["prediction"] = overlay(photograph, enlarged(labels, factor), colours)
    height, width = photograph.shape[:2]
    reduced = min(longest / max(height, width), 1)
    size = letter_size(round(width * reduced), round(height * reduced))
    panels["largest classes"] = legend(class_shares(labels, names), colours, size)
    return side_by_side(panels, longest)


def _borders(labels: np.ndarray) -> np.ndarray:
    """Where the pixel at the right or below is of another class."""
    found = np.zeros(labels.shape, bool)
    found[:, :-1] = labels[:, 1:] != labels[:, :-1]
    found[:-1] |= labels[1:] != labels[:-1]
    return found


def _colour(values: np.ndarray) -> Colour:
    red, green, blue = values.tolist()
    return red, green, blue
