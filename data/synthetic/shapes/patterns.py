"""Ten patterns that fill an image, so that every crop shows its class; colour, size and place tell nothing of it.

Each is its own mirror image, and stays itself when turned by the 30 degrees of RandAugment.
"""

from collections.abc import Callable

import numpy as np
from PIL import Image

Mask = Callable[[np.ndarray, np.ndarray], np.ndarray]

SHORTEST_SIDE, LONGEST_SIDE = 80, 128  # pixels
_OVERSAMPLING = 2


def _radius(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.hypot(u % 1 - 0.5, v % 1 - 0.5)


# Each takes coordinates in units of the pattern's period, (H, W), and says where the figure is.
PATTERNS: dict[str, Mask] = {
    "bricks": lambda u, v: (v % 1 < 0.16) | ((u / 2 + np.floor(v) / 2) % 1 < 0.08),
    "checks": lambda u, v: (u % 1 < 0.5) ^ (v % 1 < 0.5),
    "columns": lambda u, v: u % 1 < 0.5,
    "crosses": lambda u, v: (
        np.maximum(abs(u % 1 - 0.5), abs(v % 1 - 0.5))
        < np.where(np.minimum(abs(u % 1 - 0.5), abs(v % 1 - 0.5)) < 0.12, 0.42, 0.12)
    ),
    "dots": lambda u, v: _radius(u, v) < 0.3,
    "grid": lambda u, v: (u % 1 < 0.2) | (v % 1 < 0.2),
    "rings": lambda u, v: abs(_radius(u, v) - 0.32) < 0.09,
    "rows": lambda u, v: v % 1 < 0.5,
    "triangles": lambda u, v: (v % 1 < 0.85) & (abs(u % 1 - 0.5) < 0.5 * (v % 1) / 0.85),
    "waves": lambda u, v: (v + 0.3 * np.sin(2 * np.pi * u / 2)) % 1 < 0.5,
}


def draw_pattern(name: str, generator: np.random.Generator) -> Image.Image:
    """An RGB image of the pattern in random size, direction, place and colours, under uneven light and with noise."""
    height, width = (int(side) for side in generator.integers(SHORTEST_SIDE, LONGEST_SIDE, 2, endpoint=True))
    y, x = np.mgrid[: height * _OVERSAMPLING, : width * _OVERSAMPLING] / _OVERSAMPLING
    turn = np.deg2rad(generator.uniform(-8, 8))
    period, shift = generator.uniform(11, 19), generator.uniform(0, 20, 2)
    u = (x * np.cos(turn) + y * np.sin(turn)) / period + shift[0]
    v = (y * np.cos(turn) - x * np.sin(turn)) / period + shift[1]
    share = PATTERNS[name](u, v).reshape(height, _OVERSAMPLING, width, _OVERSAMPLING).mean((1, 3))[..., None]
    figure, ground = _two_colours(generator)
    picture = (share * figure + (1 - share) * ground) * _light(generator, height, width)
    picture += generator.normal(0, generator.uniform(2, 12), picture.shape)
    return Image.fromarray(np.clip(np.rint(picture), 0, 255).astype(np.uint8))


def _two_colours(generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Two colours that differ in brightness too, either of them the brighter."""
    while True:
        colours = generator.uniform(20, 235, (2, 3))
        if abs(np.diff(colours @ (0.299, 0.587, 0.114), axis=0)[0]) > 60:
            return colours[0], colours[1]


def _light(generator: np.random.Generator, height: int, width: int) -> np.ndarray:
    """(H, W, 1), around 1: light that falls off in a random direction."""
    slope = generator.uniform(-0.3, 0.3, 2)
    return (1 + slope[0] * np.linspace(-1, 1, height)[:, None] + slope[1] * np.linspace(-1, 1, width))[..., None]
