"""The trunk around the organs: wall, skeleton, muscles, lungs and heart; nothing of it is labelled."""

from dataclasses import dataclass

import numpy as np

from medssm.data.synthetic.phantom.shapes import Box, Ellipsoid, Grown, Inside, Outside, Points, Shape, Tube, Union
from medssm.data.synthetic.phantom.structure import Fill, Structure, Variation, banded, layered, soft_step

INF = float("inf")


@dataclass(frozen=True)
class Trunk:
    """What organs are confined by.

    Attributes:
        cavity: everything inside the muscles of the wall, a cylinder along z.
        dome: below the diaphragm.
        half_width, half_depth: of the body's outline in mm, skin included.
        centre_depth: y of the outline's centre in mm.
        structures: in painting order.
    """

    cavity: Shape
    dome: Shape
    half_width: float
    half_depth: float
    centre_depth: float
    structures: tuple[Structure, ...]


@dataclass(frozen=True)
class Ribs:
    """Rings in the wall that fall from the back to the front, open in front.

    Attributes:
        cavity: its surface carries the ribs, `depth` mm outside of it.
        top: highest z of a rib at the back in mm; the others follow downwards at `period`.
    """

    cavity: Shape
    period: float
    top: float
    depth: float = 6.0
    radius: float = 4.5
    lowest: float = -25.0

    def distance(self, points: Points) -> np.ndarray:
        """Distance to the nearest ring, in the points' shape; the rings end in front and below the lowest rib."""
        x, y, z = points
        height = z + np.float32(0.45) * (y + 80)
        across = np.abs(np.mod(self.top - height + self.period / 2, self.period) - self.period / 2)
        out = self.cavity.distance(points) - np.float32(self.depth)
        ring = np.sqrt(out * out + across * across) - np.float32(self.radius)
        front = y - np.float32(35) - np.float32(0.5) * np.maximum(z - 40, 0)
        ends = np.maximum(front, np.maximum(self.lowest - height, 25 - np.abs(x)))
        return np.maximum(ring, ends)

    def box(self) -> Box:
        """All of the wall above the lowest rib."""
        low, high = self.cavity.box()
        return np.array([low[0] - 15, low[1] - 15, self.lowest - 90]), high + 15


def build_trunk(vary: Variation) -> Trunk:
    """A trunk that differs from case to case."""
    cavity = Ellipsoid((0, 5, 0), (vary.normal(132, 5), vary.normal(88, 4), INF), exponent=2.5)
    dome = _dome(vary)
    fat, muscle = vary.between(8, 30), vary.normal(11, 1.2)
    wall = muscle + fat
    return Trunk(
        cavity,
        dome,
        half_width=cavity.half[0] + wall,
        half_depth=cavity.half[1] + wall,
        centre_depth=5.0,
        structures=(
            Structure(Grown(cavity, wall), _wall(vary, fat, muscle), texture=12),
            *_chest(vary, cavity, dome),
            *_muscles(vary, cavity),
            *_skeleton(vary, cavity),
        ),
    )


def _wall(vary: Variation, fat: float, muscle: float) -> Fill:
    """Skin, fat, muscle, and the fat of the cavity, by depth below the skin in mm."""
    depths = (1.5, fat, fat + muscle)
    tissues = [vary.normal(*tissue) for tissue in ((20, 10), (-102, 5), (55, 6), (-95, 6))]

    def fill(_: Points, distance: np.ndarray) -> np.ndarray:
        intensity = np.full_like(distance, tissues[0])
        for depth, above, below in zip(depths, tissues[:-1], tissues[1:], strict=True):
            intensity += np.float32(below - above) * soft_step(-distance - np.float32(depth))
        return intensity

    return fill


def _dome(vary: Variation) -> Shape:
    right, left = vary.normal(131, 4), vary.normal(120, 5)
    return Union(
        (
            Ellipsoid((64, 0, 30), (80, 90, right - 30)),
            Ellipsoid((-64, -2, 24), (78, 88, left - 24)),
            Ellipsoid((0, 28, 26), (60, 62, 86)),
        ),
        blend=25,
    )


def _chest(vary: Variation, cavity: Shape, dome: Shape) -> list[Structure]:
    above = Ellipsoid((0, 0, 1015), (INF, INF, 1000))
    middle = Ellipsoid((0, -8, 0), (vary.normal(32, 3), 62, INF))
    heart = Ellipsoid(vary.point((-22, 40, 162), 4), vary.sizes((58, 40, 42), 0.05))
    lungs = Outside(Inside(above, (cavity,), margin=2), (dome, middle), margin=3)
    diaphragm = Outside(Inside(Grown(dome, vary.between(2, 3.5)), (cavity, above)), (dome,))
    return [
        Structure(lungs, vary.normal(-850, 25), texture=40),
        Structure(Outside(Inside(heart, (cavity,), margin=4), (dome,), margin=4), vary.normal(130, 18), texture=8),
        Structure(diaphragm, vary.normal(52, 6)),
    ]


def _muscles(vary: Variation, cavity: Shape) -> list[Structure]:
    tone, found = vary.normal(55, 6), []
    for side in (-1, 1):
        back = Ellipsoid((side * 34, -92, 0), (vary.normal(32, 2), vary.normal(23, 2), INF), exponent=2.5)
        knots = [(side * 20, -48, 40), (side * 30, -47, -20), (side * 44, -42, -75), (side * 58, -28, -150)]
        psoas = Tube.through(knots, [4, 13, 20, 23], step=14)
        crus = Tube.through(
            [(side * 15, -20, 78), (side * 16, -24, 40), (side * 12, -27, -5)], [3, vary.normal(5, 0.6), 3]
        )
        found += [
            Structure(back, tone, texture=12),
            Structure(Inside(psoas, (cavity,)), tone + 3, texture=6),
            Structure(crus, tone),
        ]
    return found


def _skeleton(vary: Variation, cavity: Shape) -> list[Structure]:
    period, marrow, cortex = vary.normal(33, 1.5), vary.normal(175, 25), vary.normal(420, 50)
    offset = vary.between(0, period)
    body = Ellipsoid((0, -50, 0), (vary.normal(22, 1), vary.normal(17, 1), INF), exponent=2.5)
    arch = Outside(
        Union((Ellipsoid((0, -74, 0), (15, 14, INF)), Ellipsoid((0, -95, 0), (5, 17, INF))), blend=6),
        (Ellipsoid((0, -73, 0), (9, 8, INF)),),
    )
    discs = banded(marrow, vary.normal(85, 8), period, 0.24, offset)
    gaps = banded(cortex, 50, period, 0.35, offset + period / 2)
    crust = Outside(body, (Grown(body, -1.8),))
    return [
        Structure(Ellipsoid((0, -73, 0), (10, 9, INF)), vary.normal(30, 5)),
        Structure(arch, gaps),
        Structure(body, discs, texture=25),
        Structure(crust, banded(cortex, 90, period, 0.24, offset)),
        Structure(Ribs(cavity, vary.normal(27, 1.5), vary.between(140, 167)), layered(cortex, marrow, 1.8)),
    ]
