"""Pictures of five kinds of flat objects that may cover each other, and of crowds of small ones.

Colour, size, turn and place tell nothing of the kind. An object's mask is what can be seen of it.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

SHORTEST_SIDE, LONGEST_SIDE = 112, 144  # pixels
SMALLEST_RADIUS, LARGEST_RADIUS = 12, 30  # pixels
MOST_OBJECTS = 4
LARGEST_TURN = 15  # degrees
# An object that would leave less of itself or of another to be seen is not drawn.
LEAST_SEEN = 0.5
# Share of the images, and radius, distance in pixels and number along a side of a crowd's members.
CROWD_SHARE, CROWD_RADIUS, CROWD_SPACING, CROWD_SIDE = 0.15, 3.5, 9, 4
_OVERSAMPLING = 4


def _circle(radius: float) -> np.ndarray:
    angles = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    return radius * np.stack([np.cos(angles), np.sin(angles)], 1)


# Outline (points, 2) of x and y in units of the object's radius, y downwards.
OUTLINES: dict[str, np.ndarray] = {
    "cross": np.array(
        [
            *((-0.3, -1), (0.3, -1), (0.3, -0.3), (1, -0.3), (1, 0.3), (0.3, 0.3)),
            *((0.3, 1), (-0.3, 1), (-0.3, 0.3), (-1, 0.3), (-1, -0.3), (-0.3, -0.3)),
        ]
    ),
    "disc": _circle(0.95),
    "ring": _circle(1),
    "square": np.array([(-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85)]),
    "triangle": np.array([(0, -1), (1, 0.8), (-1, 0.8)]),
}
HOLES = {"ring": _circle(0.55)}
KINDS = tuple(OUTLINES)


@dataclass(frozen=True)
class DrawnObject:
    """An object, or a crowd of them.

    Attributes:
        kind: one of KINDS.
        mask: (H, W) bool, what is seen of it.
        outline: (points, 2), x and y in pixels, of an object that is seen whole and has no hole; else None.
        is_crowd: the mask is that of many objects together.
    """

    kind: str
    mask: np.ndarray
    outline: np.ndarray | None = None
    is_crowd: bool = False


@dataclass(frozen=True)
class Picture:
    """An image (H, W, 3) uint8 and what is in it."""

    image: np.ndarray
    objects: tuple[DrawnObject, ...]


def draw_picture(generator: np.random.Generator) -> Picture:
    """A picture of one to four objects, sometimes with a crowd, on an uneven ground with noise."""
    height, width = (int(side) for side in generator.integers(SHORTEST_SIDE, LONGEST_SIDE, 2, endpoint=True))
    ground = generator.uniform(20, 235, 3)
    picture = ground * _light(generator, height, width)
    objects: list[DrawnObject] = []
    if generator.random() < CROWD_SHARE:
        picture, crowd = _with_crowd(picture, ground, generator)
        objects.append(crowd)
    for _ in range(int(generator.integers(1, MOST_OBJECTS, endpoint=True))):
        picture, objects = _with_object(picture, objects, ground, generator)
    picture = picture + generator.normal(0, generator.uniform(2, 8), picture.shape)
    return Picture(np.clip(np.rint(picture), 0, 255).astype(np.uint8), tuple(objects))


def _with_object(
    picture: np.ndarray, objects: list[DrawnObject], ground: np.ndarray, generator: np.random.Generator
) -> tuple[np.ndarray, list[DrawnObject]]:
    """The picture with one more object in front, if that hides too much of none."""
    size = picture.shape[:2]
    kind = KINDS[generator.integers(len(KINDS))]
    radius, turn = (
        generator.uniform(SMALLEST_RADIUS, LARGEST_RADIUS),
        np.deg2rad(generator.uniform(-1, 1) * LARGEST_TURN),
    )
    centre = np.array([generator.uniform(0.6 * radius, side - 0.6 * radius) for side in size[::-1]])
    colour = _other_colour(ground, generator)
    outline = _placed(OUTLINES[kind], centre, radius, turn)
    share = _share(outline, size)
    if kind in HOLES:
        share = share - _share(_placed(HOLES[kind], centre, radius, turn), size)
    mask = share >= 0.5
    if any((other.mask & ~mask).sum() < LEAST_SEEN * other.mask.sum() for other in objects):
        return picture, objects
    is_whole = kind not in HOLES and (outline >= 0).all() and (outline <= np.array(size[::-1])).all()
    behind = [_seen_behind(other, mask) for other in objects]
    front = DrawnObject(kind, mask, outline if is_whole else None)
    return picture + share[..., None] * (colour - picture), [*behind, front]


def _with_crowd(
    picture: np.ndarray, ground: np.ndarray, generator: np.random.Generator
) -> tuple[np.ndarray, DrawnObject]:
    """The picture with a square of small objects of one kind; the mask covers them and what is between them."""
    height, width = picture.shape[:2]
    kind = KINDS[generator.integers(len(KINDS))]
    colour = _other_colour(ground, generator)
    side = CROWD_SIDE * CROWD_SPACING
    corner = np.array([generator.uniform(0, width - side), generator.uniform(0, height - side)])
    for place in np.ndindex(CROWD_SIDE, CROWD_SIDE):
        centre = corner + CROWD_SPACING * (np.array(place) + 0.5) + generator.uniform(-0.5, 0.5, 2)
        share = _share(_placed(OUTLINES[kind], centre, CROWD_RADIUS, 0.0), (height, width))
        picture = picture + share[..., None] * (colour - picture)
    covered = _share(corner + side * np.array([(0, 0), (1, 0), (1, 1), (0, 1)]), (height, width)) >= 0.5
    return picture, DrawnObject(kind, covered, is_crowd=True)


def _seen_behind(other: DrawnObject, mask: np.ndarray) -> DrawnObject:
    """What is left of an object behind a mask."""
    if not (other.mask & mask).any():
        return other
    return DrawnObject(other.kind, other.mask & ~mask, None, other.is_crowd)


def _placed(outline: np.ndarray, centre: np.ndarray, radius: float, turn: float) -> np.ndarray:
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return centre + radius * outline @ rotation.T


def _share(outline: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W) in [0, 1]: how much of each pixel lies within an outline."""
    height, width = size
    canvas = Image.new("L", (width * _OVERSAMPLING, height * _OVERSAMPLING))
    ImageDraw.Draw(canvas).polygon([(x, y) for x, y in outline * _OVERSAMPLING - 0.5], fill=1)
    fine = np.asarray(canvas, np.float64).reshape(height, _OVERSAMPLING, width, _OVERSAMPLING)
    return fine.mean((1, 3))


def _other_colour(ground: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """A colour that differs from the ground's in brightness too."""
    while True:
        colour = generator.uniform(20, 235, 3)
        if abs((colour - ground) @ (0.299, 0.587, 0.114)) > 50:
            return colour


def _light(generator: np.random.Generator, height: int, width: int) -> np.ndarray:
    """(H, W, 1), around 1: light that falls off in a random direction."""
    slope = generator.uniform(-0.2, 0.2, 2)
    return (1 + slope[0] * np.linspace(-1, 1, height)[:, None] + slope[1] * np.linspace(-1, 1, width))[..., None]
