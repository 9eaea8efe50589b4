"""Landscapes of eight classes: what a pixel is follows from its texture and its neighbourhood, not from its colour."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

# Label 1 of a file is the first; 0 is everything else, which is the posts.
CLASSES = ("sky", "hill", "grass", "road", "water", "house", "roof", "tree")
SHORTEST_SIDE, LONGEST_SIDE = 96, 128  # pixels

# Overlapping on purpose: lakes have the colours of the sky, and what grows may be green, straw or brown.
SKIES = ((90, 140, 205), (150, 155, 165), (190, 140, 120))
HILLS = ((95, 115, 120), (85, 120, 80), (130, 115, 95))
MEADOWS = ((105, 140, 70), (150, 140, 85), (120, 110, 95))
ROADS = ((115, 112, 110), (150, 130, 105))
ROOFS = ((150, 70, 50), (75, 75, 85), (110, 85, 60))
CROWNS = ((60, 95, 45), (105, 105, 55), (120, 80, 50))

Colour = np.ndarray
Mask = np.ndarray


class Landscape(NamedTuple):
    """A photograph (H, W, 3) uint8 and the numbers of its label map (H, W) uint8."""

    photograph: np.ndarray
    numbers: np.ndarray


def draw_landscape(random: np.random.Generator) -> Landscape:
    """A landscape of random size, weather, plants and buildings."""
    height, width = (int(side) for side in random.integers(SHORTEST_SIDE, LONGEST_SIDE, 2, endpoint=True))
    canvas = _Canvas(height, width, random)
    horizon = random.uniform(0.3, 0.55) * height
    canvas.paint("sky", canvas.y < height, _sky(canvas))
    canvas.paint("hill", canvas.y > _skyline(canvas, horizon), _speckled(canvas, _one_of(random, HILLS), 6))
    canvas.paint("grass", canvas.y > horizon, _blades(canvas))
    for kind in random.permutation(2)[: random.integers(1, 3)]:
        (_draw_water, _draw_road)[kind](canvas, horizon)
    bases = np.sort(random.uniform(horizon + 4, height * 0.95, random.integers(3, 7)))
    for base in bases:  # from far to near
        draw = (_draw_house, _draw_tree, _draw_post)[random.choice(3, p=(0.42, 0.42, 0.16))]
        draw(canvas, base, 0.5 + (base - horizon) / (height - horizon))
    return canvas.scene()


class _Canvas:
    """What has been painted so far.

    Attributes:
        y, x: (H, W), pixels from the upper left corner.
    """

    def __init__(self, height: int, width: int, random: np.random.Generator) -> None:
        self.height, self.width, self.random = height, width, random
        self.y, self.x = (grid.astype(np.float32) for grid in np.mgrid[:height, :width])
        self.colours = np.zeros((height, width, 3), np.float32)
        self.numbers = np.zeros((height, width), np.uint8)

    def paint(self, name: str, mask: Mask, colours: Colour) -> None:
        """Covers the mask with colours, (H, W, 3) or (3,); a name that is no class is other."""
        self.colours[mask] = np.broadcast_to(colours, self.colours.shape)[mask]
        self.numbers[mask] = CLASSES.index(name) + 1 if name in CLASSES else 0

    def noise(self, amount: float) -> np.ndarray:
        """(H, W, 1), around 0."""
        return self.random.normal(0, amount, (self.height, self.width, 1)).astype(np.float32)

    def scene(self) -> Landscape:
        """The finished picture, under uneven light and with the camera's noise."""
        slope = self.random.uniform(-0.25, 0.25, 2)
        light = 1 + slope[0] * (self.y / self.height - 0.5) + slope[1] * (self.x / self.width - 0.5)
        seen = self.colours * light[..., None] * self.random.uniform(0.75, 1.15)
        seen += self.random.normal(0, self.random.uniform(1, 6), seen.shape)
        return Landscape(np.clip(np.rint(seen), 0, 255).astype(np.uint8), self.numbers)


def _one_of(random: np.random.Generator, colours: Sequence[tuple[int, int, int]]) -> Colour:
    return _near(random, colours[int(random.integers(len(colours)))])


def _near(random: np.random.Generator, colour: tuple[int, int, int]) -> Colour:
    return np.clip(np.array(colour) + random.uniform(-25, 25, 3), 15, 240).astype(np.float32)


def _sky(canvas: _Canvas) -> Colour:
    """From blue to grey to the red of an evening, brighter towards the horizon, with soft clouds."""
    random = canvas.random
    above = _one_of(random, SKIES)
    bright = (canvas.y / canvas.height)[..., None] * 70
    waves = sum(
        np.sin(canvas.x / random.uniform(9, 25) + canvas.y / random.uniform(5, 9) + random.uniform(0, 6))
        for _ in range(3)
    )
    return above + bright + 12 * np.clip(waves, 0, None)[..., None]


def _skyline(canvas: _Canvas, horizon: float) -> np.ndarray:
    """Height of the hills above each column, as rows (W,)."""
    random, x = canvas.random, canvas.x[0]
    waves = sum(np.sin(x / random.uniform(10, 40) + random.uniform(0, 6)) for _ in range(3))
    return horizon - random.uniform(2, 0.2 * canvas.height) - 3 * waves


def _speckled(canvas: _Canvas, colour: Colour, amount: float) -> Colour:
    return colour + canvas.noise(amount)


def _blades(canvas: _Canvas) -> Colour:
    """Grass: upright streaks of green to straw."""
    random = canvas.random
    streaks = random.normal(0, 16, (canvas.height // 3 + 1, canvas.width)).astype(np.float32)
    return _one_of(random, MEADOWS) + np.repeat(streaks, 3, axis=0)[: canvas.height, :, None]


def _draw_water(canvas: _Canvas, horizon: float) -> None:
    """A lake with level ripples, in the colours of the sky."""
    random = canvas.random
    middle = random.uniform(0, canvas.width), random.uniform(horizon + 8, canvas.height)
    reach = random.uniform(0.25, 0.6) * canvas.width, random.uniform(0.12, 0.25) * canvas.height
    inside = ((canvas.x - middle[0]) / reach[0]) ** 2 + ((canvas.y - middle[1]) / reach[1]) ** 2 < 1
    ripples = 14 * np.sin(canvas.y * random.uniform(1.3, 1.9) + np.sin(canvas.x / random.uniform(4, 8)))
    colour = _one_of(random, SKIES)
    canvas.paint("water", inside & (canvas.y > horizon), colour + ripples[..., None])


def _draw_road(canvas: _Canvas, horizon: float) -> None:
    """A road from the horizon to the lower edge, broken line in its middle."""
    random = canvas.random
    depth = np.clip((canvas.y - horizon) / (canvas.height - horizon), 0, 1)
    middle = random.uniform(0.2, 0.8) * canvas.width + depth * random.uniform(-0.4, 0.4) * canvas.width
    half = 1.5 + depth * random.uniform(0.12, 0.22) * canvas.width
    canvas.paint(
        "road",
        (abs(canvas.x - middle) < half) & (canvas.y > horizon),
        _speckled(canvas, _one_of(random, ROADS), 5),
    )
    line = (abs(canvas.x - middle) < 0.08 * half) & (canvas.y > horizon) & (np.sin(12 * np.sqrt(depth)) > 0)
    canvas.paint("road", line, np.array((230, 230, 220)))


def _draw_house(canvas: _Canvas, base: float, size: float) -> None:
    """A wall of any colour with windows and a door, and a roof of tiles."""
    random, x, y = canvas.random, canvas.x, canvas.y
    half, tall = random.uniform(8, 15) * size, random.uniform(11, 20) * size
    middle = random.uniform(0, canvas.width)
    wall = (abs(x - middle) < half) & (y <= base) & (y > base - tall)
    canvas.paint("house", wall, _speckled(canvas, random.uniform(90, 235, 3).astype(np.float32), 2))
    across, up = (x - middle + half) / (2 * half), (base - y) / tall
    windows = (abs(across * random.integers(2, 4) % 1 - 0.5) < 0.22) & (abs(up - 0.65) < 0.15)
    door = (abs(across - random.uniform(0.25, 0.75)) < 0.1) & (up < 0.4)
    canvas.paint("house", wall & (windows | door), random.uniform(20, 80, 3))
    rise = random.uniform(0.5, 0.9) * half
    slope = (y - (base - tall - rise)) / rise
    tiles = 18 * (np.sin(y * 2.1) + np.sin(x * 1.7 + np.floor(y / 3) * 2))
    canvas.paint(
        "roof",
        (y <= base - tall) & (abs(x - middle) < 1.25 * half * slope),
        _one_of(random, ROOFS) + tiles[..., None],
    )


def _draw_tree(canvas: _Canvas, base: float, size: float) -> None:
    """A trunk with a ragged crown, round or pointed; both are the tree."""
    random, x, y = canvas.random, canvas.x, canvas.y
    tall, half = random.uniform(18, 32) * size, random.uniform(6, 11) * size
    middle = random.uniform(0, canvas.width)
    trunk = (abs(x - middle) < 0.16 * half) & (y <= base) & (y > base - tall / 2)
    canvas.paint("tree", trunk, _near(random, (85, 60, 40)))
    up = (base - y) / tall
    ragged = 0.12 * np.sin(7 * np.arctan2(up - 0.65, (x - middle) / half) + random.uniform(0, 6))
    shapes: tuple[Callable[[], Mask], ...] = (
        lambda: ((x - middle) / half) ** 2 + ((up - 0.65) / 0.35) ** 2 < (1 + ragged) ** 2,
        lambda: (up > 0.22) & (abs(x - middle) < half * (1 - up) * (1.1 + 2 * ragged)),
    )
    crown = shapes[random.integers(2)]()
    canvas.paint("tree", crown, _one_of(random, CROWNS) + canvas.noise(22))


def _draw_post(canvas: _Canvas, base: float, size: float) -> None:
    """A post with a sign, which is no class."""
    random, x, y = canvas.random, canvas.x, canvas.y
    tall, middle = random.uniform(14, 22) * size, random.uniform(0, canvas.width)
    canvas.paint("post", (abs(x - middle) < 1) & (y <= base) & (y > base - tall), random.uniform(30, 90, 3))
    sign = (abs(x - middle) < 4 * size) & (abs(y - base + tall) < 3 * size)
    canvas.paint("post", sign, random.uniform(0, 255, 3))
