"""A painted part of the phantom: a solid, its Hounsfield units and its label."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from medssm.data.synthetic.phantom.shapes import Points, Shape

# Hounsfield units of a point from where it is and how deep inside the shape (distance, negative).
Fill = Callable[[Points, np.ndarray], np.ndarray]
# Painting with this label changes the intensity and leaves the label that is there.
KEEP = -1


@dataclass(frozen=True)
class Structure:
    """What is painted over everything before it.

    Attributes:
        shape: in anatomical mm.
        intensity: Hounsfield units, or a function that gives them.
        label: 0 for what is not an organ; KEEP for what lies within one.
        texture: standard deviation in Hounsfield units of a smooth variation inside.
    """

    shape: Shape
    intensity: float | Fill
    label: int = 0
    texture: float = 0.0


def layered(outer: float, inner: float, thickness: float) -> Fill:
    """A crust of `thickness` mm around a core, with an edge of about 1.5 mm."""

    def fill(_: Points, distance: np.ndarray) -> np.ndarray:
        return outer + (inner - outer) * soft_step(-distance - thickness)

    return fill


def with_fluid_level(wall: float, fluid: float, above: float, thickness: float, level: float) -> Fill:
    """A wall of `thickness` mm around fluid that stands up to y = `level` (the patient lies on the back)."""

    def fill(points: Points, distance: np.ndarray) -> np.ndarray:
        content = fluid + (above - fluid) * soft_step(points[1] - level)
        return wall + (content - wall) * soft_step(-distance - thickness)

    return fill


def banded(first: float, second: float, period: float, share: float, offset: float) -> Fill:
    """Bands along z, `share` of each `period` of the second kind: vertebrae and their discs."""

    def fill(points: Points, _: np.ndarray) -> np.ndarray:
        within = np.abs(np.mod(points[2] - offset, period) - period / 2)
        return first + (second - first) * soft_step(period * share / 2 - within)

    return fill


class Variation:
    """Draws that keep an anatomy plausible: normal, cut off at two standard deviations."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng

    def normal(self, mean: float, sd: float) -> float:
        """A number near `mean`."""
        return mean + sd * float(np.clip(self.rng.standard_normal(), -2, 2))

    def factor(self, sd: float) -> float:
        """A positive factor near 1."""
        return float(np.exp(self.normal(0, sd)))

    def point(self, mean: Sequence[float], sd: float | Sequence[float]) -> np.ndarray:
        """A point (x, y, z) near `mean`."""
        shift = np.clip(self.rng.standard_normal(3), -2, 2)
        return np.asarray(mean, dtype=float) + shift * np.asarray(sd)

    def sizes(self, mean: Sequence[float], sd: float) -> np.ndarray:
        """Half axes (3,) near `mean`: a common factor and a smaller one for each axis."""
        return np.asarray(mean) * self.factor(sd) * np.exp(self.point((0, 0, 0), sd / 2))

    def angles(self, mean: Sequence[float], sd: float) -> np.ndarray:
        """Angles (3,), about x, y and z, in degrees near `mean`."""
        return self.point(mean, sd)

    def happens(self, probability: float) -> bool:
        """True with this probability."""
        return bool(self.rng.random() < probability)

    def between(self, low: float, high: float) -> float:
        """A number, uniform."""
        return float(self.rng.uniform(low, high))


def soft_step(distance: np.ndarray) -> np.ndarray:
    """0 outside, 1 inside, over 1.5 mm; of any shape, as the distance."""
    return np.clip(distance * np.float32(1 / 1.5) + np.float32(0.5), 0, 1)
