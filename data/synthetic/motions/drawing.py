"""Clips of eight motions that no single frame tells apart.

A disc of two colours has four coordinates, each on a circle: its place across and down a picture whose borders meet,
its angle, and its size, which begins again at the smallest after the largest. A clip starts anywhere, all states being
equally likely; its class says which of the four changes, and which way. So every frame of every class is drawn from
the same distribution, and a clip that is played backwards is one of the opposite class.
"""

from dataclasses import dataclass

import numpy as np

# Class -> the coordinate that changes (0 across, 1 down, 2 angle, 3 size), and its sign.
MOTIONS: dict[str, tuple[int, int]] = {
    "anticlockwise": (2, -1),
    "clockwise": (2, 1),
    "down": (1, 1),
    "grow": (3, 1),
    "left": (0, -1),
    "right": (0, 1),
    "shrink": (3, -1),
    "up": (1, -1),
}
# Sides in pixels, both even as most encoders want them; frames of a clip; rounds of a coordinate per frame.
SIDES, FRAMES, SPEEDS = (24, 32), (24, 40), (0.6 / 32, 1.2 / 32)
# Radius of the disc over the shorter side.
SMALLEST, LARGEST = 0.17, 0.42


@dataclass(frozen=True)
class Disc:
    """What stays the same in a clip.

    Attributes:
        background: (H, W, 3), 0 to 255.
        colours: (2, 3), of the halves of the disc.
    """

    background: np.ndarray
    colours: np.ndarray

    def frame(self, state: np.ndarray) -> np.ndarray:
        """The picture (H, W, 3) uint8 of a state: four coordinates in rounds."""
        height, width = self.background.shape[:2]
        across, down, angle, size = state % 1
        y, x = np.mgrid[:height, :width]
        x = (x - across * width + width / 2) % width - width / 2
        y = (y - down * height + height / 2) % height - height / 2
        radius = min(height, width) * SMALLEST * (LARGEST / SMALLEST) ** size
        inside = np.clip(radius - np.hypot(x, y) + 0.5, 0, 1)[..., None]
        side = x * np.cos(2 * np.pi * angle) + y * np.sin(2 * np.pi * angle)
        share = np.clip(side + 0.5, 0, 1)[..., None]
        disc = share * self.colours[0] + (1 - share) * self.colours[1]
        return np.rint(inside * disc + (1 - inside) * self.background).astype(np.uint8)


def draw_disc(generator: np.random.Generator) -> Disc:
    """Two colours of which one is bright and one dark, before a smooth background between them."""
    height, width = 2 * generator.integers(*SIDES, size=2, endpoint=True)
    corners = generator.uniform(90, 165, (2, 2, 3))
    down, across = np.linspace(0, 1, height)[:, None, None], np.linspace(0, 1, width)[None, :, None]
    upper, lower = (corners[row, 0] * (1 - across) + corners[row, 1] * across for row in (0, 1))
    background = upper * (1 - down) + lower * down
    colours = np.stack([generator.uniform(190, 255, 3), generator.uniform(0, 65, 3)])
    return Disc(background, colours)


def draw_motion(name: str, generator: np.random.Generator) -> np.ndarray:
    """A clip of a motion from a random state at a random speed, (T, H, W, 3) uint8."""
    scene, start = draw_disc(generator), generator.uniform(0, 1, 4)
    count, speed = int(generator.integers(*FRAMES, endpoint=True)), generator.uniform(*SPEEDS)
    return moving_disc(scene, name, start, speed, count)


def moving_disc(scene: Disc, name: str, start: np.ndarray, speed: float, count: int) -> np.ndarray:
    """`count` frames of a scene, (T, H, W, 3) uint8, from a state of four coordinates on."""
    coordinate, sign = MOTIONS[name]
    step = np.zeros(4)
    step[coordinate] = sign * speed
    return np.stack([scene.frame(start + frame * step) for frame in range(count)])
