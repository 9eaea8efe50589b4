"""The thirteen organs of BTCV and the vessels around them, in anatomical mm: x to the right, y front, z head.

The origin lies in the middle of the trunk at the height of the renal hilum. Organs that touch move together: the
adrenals with the kidneys, the veins with the pancreas, the gallbladder with the liver.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medssm.data.scans.organs import BTCV_ORGANS
from medssm.data.synthetic.phantom.bowel import GAS, build_bowel, cyst
from medssm.data.synthetic.phantom.shapes import Ellipsoid, Grown, Inside, Outside, Shape, Tube, Union, rotation
from medssm.data.synthetic.phantom.structure import KEEP, Structure, Variation, layered, with_fluid_level
from medssm.data.synthetic.phantom.trunk import Trunk

LABELS = {name: value for value, name in BTCV_ORGANS.items()}


@dataclass(frozen=True)
class Anatomy:
    """The shapes that others refer to, and the contrast of a case.

    Attributes:
        veins: Hounsfield units of the large veins.
        kidneys: right, left.
        pancreas_shift: moves pancreas, its veins and the duodenum, in mm.
    """

    trunk: Trunk
    arteries: float
    veins: float
    kidneys: tuple[Shape, Shape]
    kidney_centres: tuple[np.ndarray, np.ndarray]
    liver: Shape
    liver_shift: np.ndarray
    stomach: Shape
    spleen: Shape
    spleen_shift: np.ndarray
    pancreas_shift: np.ndarray


def build_organs(vary: Variation, trunk: Trunk) -> list[Structure]:
    """Everything inside the abdominal cavity, in painting order."""
    anatomy = _anatomy(vary, trunk)
    return [
        *build_bowel(vary, trunk.cavity),
        *_renal_vessels(vary, anatomy),
        *_stomach(vary, anatomy),
        *_liver(vary, anatomy),
        *_spleen(vary, anatomy),
        *_kidneys(vary, anatomy),
        *_gallbladder(vary, anatomy),
        *_pancreas(vary, anatomy),
        *_great_vessels(vary, anatomy),
        *_portal_veins(vary, anatomy),
        *_esophagus(vary, anatomy),
        *_adrenals(vary, anatomy),
    ]


def _anatomy(vary: Variation, trunk: Trunk) -> Anatomy:
    right_centre = vary.point((63, -43, -17), (3, 3, 6))
    left_centre = vary.point((-63, -43, -6), (3, 3, 6))
    kidneys = tuple(_kidney(vary, centre, side) for centre, side in ((right_centre, 1), (left_centre, -1)))
    liver_shift, spleen_shift = vary.point((0, 0, 0), (3, 3, 4)), vary.point((0, 0, 0), (2, 4, 6))
    spleen = _spleen_shape(vary, spleen_shift, trunk, kidneys[1])
    return Anatomy(
        trunk,
        arteries=vary.normal(175, 25),
        veins=vary.normal(145, 14),
        kidneys=(kidneys[0], kidneys[1]),
        kidney_centres=(right_centre, left_centre),
        liver=_liver_shape(vary, liver_shift, trunk, kidneys[0]),
        liver_shift=liver_shift,
        stomach=_stomach_shape(vary, trunk, spleen),
        spleen=spleen,
        spleen_shift=spleen_shift,
        pancreas_shift=vary.point((0, 0, 0), (3, 3, 5)),
    )


def _kidney(vary: Variation, centre: np.ndarray, side: int) -> Shape:
    """A bean whose hollow faces the spine; its upper pole leans towards it."""
    turn = rotation(vary.angles((8, side * -9, side * 12), 4))
    half = vary.sizes((25.5, 23.5, 50.5), 0.036)
    whole = Ellipsoid(centre, half, turn, exponent=2.5)
    hollow = Ellipsoid(centre + turn @ [-side * half[0] * 0.85, half[1] * 0.2, 0], (half[0] * 0.62, 9, 17), turn)
    return Outside(whole, (hollow,))


def _liver_shape(vary: Variation, shift: np.ndarray, trunk: Trunk, kidney: Shape) -> Shape:
    def lobe(centre: Sequence[float], half: Sequence[float], tilt: Sequence[float], exponent: float) -> Ellipsoid:
        return Ellipsoid(
            vary.point(centre, 2.5) + shift, vary.sizes(half, 0.04), rotation(vary.angles(tilt, 4)), exponent
        )

    right = lobe((70, 4, 54), (61, 72, 72), (0, 8, 0), 2.5)
    left = lobe((2, 50, 76), (64, 28, 33), (12, -8, 4), 2.0)
    caudate = lobe((20, 6, 62), (20, 22, 26), (0, 0, 0), 2.0)
    whole = Inside(Union((right, left, caudate), blend=14), (trunk.cavity, trunk.dome), margin=3)
    behind = Ellipsoid((24, -46, 38), (24, 30, 46))
    return Outside(whole, (kidney, behind), margin=1.5)


def _spleen_shape(vary: Variation, shift: np.ndarray, trunk: Trunk, kidney: Shape) -> Shape:
    turn = rotation(vary.angles((-22, 0, -12), 5))
    whole = Ellipsoid(np.array((-99, -28, 60)) + shift, vary.sizes((23.5, 38.5, 48), 0.06), turn)
    hilum = Ellipsoid(np.array((-68, 0, 60)) + shift, (24, 30, 34), turn)
    inside = Inside(whole, (trunk.cavity, trunk.dome), margin=3)
    return Outside(inside, (hilum, kidney), margin=2)


def _stomach_shape(vary: Variation, trunk: Trunk, spleen: Shape) -> Shape:
    knots = [(-48, 4, 96), (-62, 22, 70), (-52, 44, 38), (-14, 50, 14), (24, 38, 16)]
    moved = np.array(knots) + vary.point((0, 0, 0), (4, 3, 5)) + [vary.point((0, 0, 0), 2.5) for _ in knots]
    tube = Tube.through(moved, np.array([29, 30, 25, 18, 11]) * vary.factor(0.14), step=11)
    return Outside(Inside(tube, (trunk.cavity, trunk.dome), margin=4), (spleen,), margin=2)


def _kidneys(vary: Variation, anatomy: Anatomy) -> list[Structure]:
    cortex, medulla = vary.normal(195, 18), vary.normal(150, 14)
    painted = []
    for name, shape, centre in zip(
        ("right kidney", "left kidney"), anatomy.kidneys, anatomy.kidney_centres, strict=True
    ):
        painted.append(Structure(shape, layered(cortex, medulla, vary.normal(7, 0.8)), LABELS[name], texture=10))
        if vary.happens(0.3):
            place = centre + vary.point((0, 0, 0), (9, 9, 22))
            painted.append(cyst(vary, shape, place, vary.between(5, 11), KEEP))
    return painted


def _liver(vary: Variation, anatomy: Anatomy) -> list[Structure]:
    tissue = vary.normal(112, 12)
    inside = (anatomy.liver,)
    painted = [Structure(anatomy.liver, tissue, LABELS["liver"], texture=6)]
    for end in ((104, -12, 84), (64, 50, 92), (-8, 46, 88)):
        knots = [(22, -18, 104), vary.point((np.array(end) + np.array((22, -18, 104))) / 2, 5), vary.point(end, 6)]
        vein = Tube.through(knots + anatomy.liver_shift, [5, 3.5, 2.0])
        painted.append(Structure(Inside(vein, inside, margin=2), anatomy.veins - 5, KEEP))
    for _ in range(int(vary.rng.integers(0, 4))):
        place = vary.point((72, 5, 55), (22, 24, 26))
        painted.append(cyst(vary, anatomy.liver, place, vary.between(3, 13), KEEP))
    return painted


def _spleen(vary: Variation, anatomy: Anatomy) -> list[Structure]:
    return [Structure(anatomy.spleen, vary.normal(124, 11), LABELS["spleen"], texture=5)]


def _gallbladder(vary: Variation, anatomy: Anatomy) -> list[Structure]:
    if vary.happens(0.08):
        return []
    knots = np.array([(41, 28, 24), (50, 44, 4), (56, 56, -12)]) + anatomy.liver_shift + vary.point((0, 0, 0), 3)
    size = vary.factor(0.14)
    sack = Tube.through(knots, np.array([5, 12.5, 13.5]) * size)
    bile = vary.normal(12, 7)
    painted = [Structure(sack, layered(bile + 40, bile, 1.2), LABELS["gallbladder"], texture=2)]
    if vary.happens(0.15):
        stone = Ellipsoid(knots[2] + np.array((0, -5, 0)), vary.sizes((4, 4, 4), 0.2))
        painted.append(Structure(Inside(stone, (sack,), margin=1), vary.between(90, 300), KEEP))
    return painted


def _stomach(vary: Variation, anatomy: Anatomy) -> list[Structure]:
    fluid = vary.between(150, 280) if vary.happens(0.3) else vary.between(5, 60)
    content = with_fluid_level(vary.normal(85, 10), fluid, GAS, vary.between(3, 5), level=vary.between(15, 62))
    return [Structure(anatomy.stomach, content, LABELS["stomach"], texture=8)]


def _pancreas(vary: Variation, anatomy: Anatomy) -> list[Structure]:
    knots = np.array([(36, 12, -18), (29, 18, 0), (9, 27, 15), (-22, 24, 26), (-52, 3, 37), (-76, -14, 46)])
    moved = knots + anatomy.pancreas_shift + [vary.point((0, 0, 0), 2) for _ in knots]
    size = vary.factor(0.055)
    shape = Tube.through(moved, np.array([16, 16.5, 12, 13.2, 13.2, 10.5]) * size, flatten=(1, 0.95, 1))
    free = Outside(shape, (anatomy.spleen, anatomy.kidneys[1]), margin=1.5)
    return [Structure(free, vary.normal(98, 11), LABELS["pancreas"], texture=14)]


def _great_vessels(vary: Variation, anatomy: Anatomy) -> list[Structure]:
    sway = vary.point((0, 0, 0), (3, 0, 0))
    aorta = np.array([(-12, -34, 190), (-10, -31, 130), (-7, -24, 70), (-8, -20, 0), (-4, -18, -92)])
    cava = np.array([(22, 4, 140), (22, -8, 112), (22, -16, 80), (20, -20, 30), (20, -20, -40), (14, -19, -96)])
    wide, vein = vary.factor(0.08), vary.factor(0.1)
    aorta_tube = Tube.through(aorta + sway * 0.7, np.array([12, 11.5, 11, 9.5, 8.5]) * wide, step=16)
    cava_tube = Tube.through(cava + sway, np.array([12, 12, 12, 12, 11, 10]) * vein, (1, 0.8, 1), step=16)
    mesenteric = Tube.through([(-7, -14, 8), (-6, 2, -8), (-4, 14, -50), (0, 22, -82)], [4, 4, 3.5, 3])
    celiac = Tube.through([(-7, -16, 30), (-5, 2, 33), (14, 12, 38)], [4, 3.5, 3])
    painted = [Structure(mesenteric, anatomy.arteries), Structure(celiac, anatomy.arteries)]
    for side in (1, -1):
        for start, level, radius in ((aorta[-1], anatomy.arteries, 6), (cava[-1], anatomy.veins - 10, 7)):
            knots = [start + np.array((side * 2, 0, 2)), (side * 30, -14, -125), (side * 48, -4, -165)]
            painted.append(Structure(Tube.through(knots, [radius] * 3), level))
    painted.append(Structure(cava_tube, anatomy.veins - 12, LABELS["inferior vena cava"], texture=6))
    painted.append(Structure(aorta_tube, anatomy.arteries, LABELS["aorta"], texture=4))
    return painted


def _portal_veins(vary: Variation, anatomy: Anatomy) -> list[Structure]:
    join = np.array((12, 10, 13)) + anatomy.pancreas_shift
    hilum = np.array((-82, -22, 54)) + (anatomy.spleen_shift + anatomy.pancreas_shift) / 2
    gate = np.array((42, 8, 54)) + anatomy.liver_shift
    size = vary.factor(0.06)
    mid = np.array([(-24, 9, 26), (-54, -11, 38)]) + anatomy.pancreas_shift + vary.point((0, 0, 0), 1.5)
    splenic = Tube.through([join, *mid, hilum], np.array([6, 5.5, 5, 4.5]) * size)
    trunk = Tube.through([join, (join + gate) / 2 + vary.point((0, 2, -2), 2), gate], np.array([8, 8, 7.5]) * size)
    right = Tube.through(
        [gate, gate + vary.point((16, 0, 8), 2), gate + np.array((30, 6, 10))], np.array([7, 5.5, 4]) * size
    )
    left = Tube.through([gate, gate + vary.point((-14, 14, 14), 2)], np.array([6, 4]) * size)
    mesenteric = Tube.through([join, join + np.array((-4, 8, -34)), (6, 24, -78)], [6.5, 6, 4])
    label = LABELS["portal and splenic veins"]
    return [
        Structure(mesenteric, anatomy.veins + 8),
        Structure(Union((splenic, trunk, right, left)), anatomy.veins + 10, label, texture=5),
    ]


def _renal_vessels(vary: Variation, anatomy: Anatomy) -> list[Structure]:
    right, left = anatomy.kidney_centres
    routes = (
        ([(20, -20, -10), (32, -24, -12), right + np.array((-18, 8, 0))], [5, 5, 4.5], anatomy.veins),
        ([(16, -18, -2), (-8, -6, -2), (-24, -20, -4), left + np.array((18, 8, 0))], [5, 4.5, 5, 4.5], anatomy.veins),
        ([(-8, -22, 0), (24, -36, -6), right + np.array((-20, 2, 4))], [3, 3, 2.5], anatomy.arteries),
        ([(-8, -22, 0), (-30, -30, -2), left + np.array((20, 2, 4))], [3, 3, 2.5], anatomy.arteries),
    )
    vessels = [Structure(Tube.through(knots, radii), hu) for knots, radii, hu in routes]
    pelves = [
        Structure(Ellipsoid(centre + np.array((-side * 17, 4, 0)), vary.sizes((9, 5, 11), 0.15)), vary.normal(20, 12))
        for centre, side in ((right, 1), (left, -1))
    ]
    return [*vessels, *pelves]


def _esophagus(vary: Variation, anatomy: Anatomy) -> list[Structure]:
    knots = np.array([(-4, -14, 190), (-6, -14, 145), (-12, -8, 118), (-28, 0, 98)]) + vary.point((0, 0, 0), 2)
    shape = Tube.through(knots, np.array([9.5, 9.5, 9, 9]) * vary.factor(0.07), (1, 0.85, 1))
    tissue = vary.normal(55, 8)
    lumen = with_fluid_level(tissue, tissue - 15, GAS / 2 if vary.happens(0.3) else tissue, 6.5, -20)
    free = Outside(shape, (anatomy.liver, Grown(anatomy.stomach, -5)), margin=1)
    return [Structure(free, lumen, LABELS["esophagus"], texture=6)]


def _adrenals(vary: Variation, anatomy: Anatomy) -> list[Structure]:
    painted = []
    for name, side, centre in zip(
        ("right adrenal gland", "left adrenal gland"), (1, -1), anatomy.kidney_centres, strict=True
    ):
        apex = centre + vary.point((-side * 29, 14, 56 if side > 0 else 47), 2)
        tissue, thick = vary.normal(72, 9), vary.normal(3.0, 0.3)
        limbs = []
        for lean in (-14, 26):
            turn = rotation((0, side * 8, side * vary.normal(lean, 4)))
            half = (thick, vary.normal(12, 1), vary.normal(14, 1.5))
            limbs.append(Ellipsoid(apex + turn @ (0, -half[1] * 0.8, 0), half, turn))
        painted.append(Structure(Union(limbs, blend=2), tissue, LABELS[name], texture=5))
    return painted
