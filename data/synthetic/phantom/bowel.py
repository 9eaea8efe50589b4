"""Bowel, colon and duodenum: what surrounds the organs below the liver and looks like many of them; not labelled."""

import numpy as np

from medssm.data.synthetic.phantom.shapes import Ellipsoid, Inside, Shape, Tube
from medssm.data.synthetic.phantom.structure import Fill, Structure, Variation, with_fluid_level

GAS = -900.0


def build_bowel(vary: Variation, cavity: Shape) -> list[Structure]:
    """Loops of small bowel, the frame of the colon, and the duodenum around the head of the pancreas."""
    return [*_small_bowel(vary, cavity), *_colon(vary, cavity), *_duodenum(vary)]


def _small_bowel(vary: Variation, cavity: Shape) -> list[Structure]:
    loops = []
    for _ in range(int(vary.rng.integers(14, 22))):
        start = np.array([vary.between(-75, 72), vary.between(-8, 58), vary.between(-135, -42)])
        bend = start + vary.point((0, 0, 0), (26, 14, 18))
        knots = [start, bend, bend + vary.point((0, 0, 0), (24, 12, 16))]
        radius = vary.between(9, 15)
        loops.append(
            Structure(Inside(Tube.through(knots, [radius] * 3), (cavity,), margin=4), _content(vary, start[1]))
        )
    return loops


def _colon(vary: Variation, cavity: Shape) -> list[Structure]:
    ascending = [(96, -6, -140), (100, 2, -90), (96, 10, -55), (86, 28, -38)]
    transverse = [(86, 28, -38), (42, 62, -52), (-20, 68, -58), (-70, 52, -20), (-96, 14, 10)]
    descending = [(-96, 14, 10), (-104, -18, -30), (-106, -16, -85), (-98, -6, -140)]
    parts = []
    for knots in (ascending, transverse, descending):
        moved = np.array(knots) + vary.point((0, 0, 0), 4)
        tube = Tube.through(moved, [vary.between(13, 20) for _ in knots], step=12)
        level = float(moved[:, 1].mean()) + vary.between(-6, 14)
        stool = with_fluid_level(65, vary.normal(25, 30), GAS, 3, level)
        parts.append(Structure(Inside(tube, (cavity,), margin=4), stool, texture=25))
    return parts


def _duodenum(vary: Variation) -> list[Structure]:
    knots = [(26, 36, 14), (50, 24, 8), (57, 10, -20), (40, 6, -44), (2, 4, -40), (-26, 12, -20), (-34, 24, -30)]
    moved = np.array(knots) + vary.point((0, 0, 0), 3)
    radii = [vary.normal(11, 1.2) for _ in knots]
    return [Structure(Tube.through(moved, radii), _content(vary, 12.0))]


def _content(vary: Variation, depth: float) -> Fill:
    """Fluid, contrast medium or mixed stool, sometimes with gas above it; `depth` is the loop's y in mm."""
    fluid = vary.between(180, 320) if vary.happens(0.25) else vary.between(5, 55)
    level = depth + vary.between(-3, 8) if vary.happens(0.3) else 1e3
    return with_fluid_level(vary.normal(85, 10), fluid, GAS, vary.between(2, 3.5), level)


def cyst(vary: Variation, organ: Shape, centre: np.ndarray, radius: float, label: int) -> Structure:
    """A ball of fluid around (x, y, z) in mm inside an organ, whose label it keeps."""
    ball = Inside(Ellipsoid(centre, vary.sizes((radius, radius, radius), 0.1)), (organ,), margin=1)
    return Structure(ball, vary.normal(8, 5), label)
