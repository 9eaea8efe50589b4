"""Signed distances of the solids that the phantom is built from.

Every shape gives the distance of points to its surface in mm, negative inside (for ellipsoids to first order), and a
box that holds it. Points are three float32 arrays x, y, z of one shape in mm, axes to the right, front and head.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.interpolate import CubicSpline

Vector = Sequence[float] | np.ndarray
Points = tuple[np.ndarray, np.ndarray, np.ndarray]
Box = tuple[np.ndarray, np.ndarray]

# Keeps quotients finite where a shape's norm or its slope vanishes.
SMALL = np.float32(1e-4)


class Shape(Protocol):
    """A solid."""

    def distance(self, points: Points) -> np.ndarray:
        """Signed distance in mm of points whose x, y and z have one shape; in that shape."""
        ...

    def box(self) -> Box:
        """Lowest and highest corner (x, y, z) in mm."""
        ...


@dataclass(frozen=True)
class Ellipsoid:
    """An ellipsoid, or with an exponent above 2 a boxier super-quadric.

    Attributes:
        centre: (x, y, z) in mm.
        half: half axes in mm; np.inf along an axis makes it a cylinder.
        turn: (3, 3) rotation from the ellipsoid's own axes.
        exponent: 2 or 2.5.
    """

    centre: Vector
    half: Vector
    turn: np.ndarray | None = None
    exponent: float = 2.0

    def distance(self, points: Points) -> np.ndarray:
        """First-order distance, in the points' shape: (k - 1) / |grad k| for the norm k that is 1 on the surface."""
        offsets = [p - np.float32(c) for p, c in zip(points, self.centre, strict=True)]
        if self.turn is not None:
            offsets = [_dot(column, offsets) for column in self.turn.T]
        finite = [
            (np.abs(o) / np.float32(h), np.float32(h)) for o, h in zip(offsets, self.half, strict=True) if h < 1e6
        ]
        norm = np.maximum(_root(_total([_power(s, self.exponent) for s, _ in finite]), self.exponent), SMALL)
        slope = np.sqrt(_total([(_power(s / norm, self.exponent - 1) / h) ** 2 for s, h in finite]))
        return (norm - 1) / np.maximum(slope, SMALL)

    def box(self) -> Box:
        """The box around the (turned) ellipsoid; a super-quadric's is taken from its corners."""
        half = np.asarray(self.half, dtype=float)
        turn = np.eye(3) if self.turn is None else self.turn
        if self.exponent > 2:
            reach = np.abs(turn) @ np.where(np.isfinite(half), half, 1e4)
        else:
            reach = np.sqrt((turn**2) @ np.where(np.isfinite(half), half, 1e4) ** 2)
        return np.asarray(self.centre) - reach, np.asarray(self.centre) + reach


@dataclass(frozen=True)
class Tube:
    """A tube of varying radius along a smooth curve, flattened along some axes if wanted.

    Attributes:
        path: (n, 3) points in mm along the curve.
        radii: (n,) in mm.
        flatten: the cross-section's extent along x, y, z relative to the radius, 1 or less.
    """

    path: np.ndarray
    radii: np.ndarray
    flatten: tuple[float, float, float] = (1.0, 1.0, 1.0)

    @classmethod
    def through(
        cls,
        knots: Sequence[Vector] | np.ndarray,
        radii: Vector,
        flatten: tuple[float, float, float] = (1.0, 1.0, 1.0),
        step: float = 9.0,
    ) -> "Tube":
        """The tube along the cubic spline through `knots` (n, 3), with `radii` (n,), in pieces of about `step` mm."""
        points = np.asarray(knots, dtype=float)
        along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
        at = np.linspace(0, along[-1], max(2, round(along[-1] / step) + 1))
        spline = CubicSpline(along, points, bc_type="natural")
        return cls(spline(at), np.interp(at, along, radii), flatten)

    def distance(self, points: Points) -> np.ndarray:
        """The smallest distance to any of the cones between neighbouring points of the path, in the points' shape."""
        flatten = np.asarray(self.flatten)
        scaled = [p / np.float32(f) for p, f in zip(points, flatten, strict=True)]
        path = self.path / flatten
        nearest = np.full(points[0].shape, np.inf, dtype=np.float32)
        pieces = zip(path[:-1], path[1:], self.radii[:-1], self.radii[1:], strict=True)
        for start, stop, first, last in pieces:
            np.minimum(nearest, _cone(scaled, start, stop, first, last), out=nearest)
        return nearest * np.float32(flatten.min())

    def box(self) -> Box:
        """The box around all of the tube."""
        reach = self.radii[:, None] * np.asarray(self.flatten)
        return (self.path - reach).min(axis=0), (self.path + reach).max(axis=0)


@dataclass(frozen=True)
class Union:
    """Shapes that flow into each other over `blend` mm; with 0 they only touch."""

    shapes: Sequence[Shape]
    blend: float = 0.0

    def distance(self, points: Points) -> np.ndarray:
        """The smooth minimum of the distances, in the points' shape."""
        merged = self.shapes[0].distance(points)
        for shape in self.shapes[1:]:
            merged = smooth_minimum(merged, shape.distance(points), self.blend)
        return merged

    def box(self) -> Box:
        """The box around all of them."""
        lows, highs = zip(*(shape.box() for shape in self.shapes), strict=True)
        return np.min(lows, axis=0) - self.blend / 2, np.max(highs, axis=0) + self.blend / 2


@dataclass(frozen=True)
class Inside:
    """The part of a shape that lies at least `margin` mm inside each of the walls."""

    shape: Shape
    walls: Sequence[Shape]
    margin: float = 0.0

    def distance(self, points: Points) -> np.ndarray:
        """The greatest of the distances, in the points' shape."""
        kept = self.shape.distance(points)
        for wall in self.walls:
            kept = np.maximum(kept, wall.distance(points) + np.float32(self.margin))
        return kept

    def box(self) -> Box:
        """The box of the whole shape."""
        return self.shape.box()


@dataclass(frozen=True)
class Outside:
    """The part of a shape that keeps `margin` mm away from its neighbours."""

    shape: Shape
    neighbours: Sequence[Shape]
    margin: float = 0.0

    def distance(self, points: Points) -> np.ndarray:
        """The greatest of the shape's distance and its neighbours' negative ones."""
        kept = self.shape.distance(points)
        for neighbour in self.neighbours:
            kept = np.maximum(kept, np.float32(self.margin) - neighbour.distance(points))
        return kept

    def box(self) -> Box:
        """The box of the whole shape."""
        return self.shape.box()


@dataclass(frozen=True)
class Grown:
    """A shape with its surface moved outwards by `by` mm (inwards if negative)."""

    shape: Shape
    by: float

    def distance(self, points: Points) -> np.ndarray:
        """The shape's distance less the growth."""
        return self.shape.distance(points) - np.float32(self.by)

    def box(self) -> Box:
        """The shape's box, grown."""
        low, high = self.shape.box()
        return low - self.by, high + self.by


def smooth_minimum(first: np.ndarray, second: np.ndarray, blend: float) -> np.ndarray:
    """The smaller of two distances of any shape, rounded off where they differ by less than `blend`.

    Source: I. Quilez, smooth minimum (quadratic polynomial).
    """
    if blend == 0:
        return np.minimum(first, second)
    close = np.maximum(np.float32(blend) - np.abs(first - second), 0)
    return np.minimum(first, second) - close * close / np.float32(4 * blend)


def rotation(degrees: Vector) -> np.ndarray:
    """(3, 3) rotation by angles about x, then y, then z."""
    a, b, c = np.radians(degrees)
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    about_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


def _cone(points: Sequence[np.ndarray], start: np.ndarray, stop: np.ndarray, first: float, last: float) -> np.ndarray:
    """Distance to a rounded cone from `start` with radius `first` to `stop` with radius `last`."""
    along = stop - start
    offsets = [p - np.float32(s) for p, s in zip(points, start, strict=True)]
    share = _dot(along / max(float(along @ along), 1e-6), offsets)
    np.clip(share, 0, 1, out=share)
    squared = _total([(o - share * np.float32(a)) ** 2 for o, a in zip(offsets, along, strict=True)])
    return np.sqrt(squared) - (np.float32(first) + share * np.float32(last - first))


def _dot(weights: Vector, arrays: Sequence[np.ndarray]) -> np.ndarray:
    return _total([np.float32(w) * a for w, a in zip(weights, arrays, strict=True)])


def _total(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """The sum of arrays that are not needed afterwards."""
    total = arrays[0]
    for array in arrays[1:]:
        total += array
    return total


def _power(base: np.ndarray, exponent: float) -> np.ndarray:
    """base ** exponent for 1, 1.5, 2 or 2.5, by products and roots, which are faster than powers."""
    whole = base * base if exponent >= 2 else base
    return whole * np.sqrt(base) if exponent % 1 else whole


def _root(base: np.ndarray, exponent: float) -> np.ndarray:
    return np.sqrt(base) if exponent == 2 else base ** np.float32(1 / exponent)
