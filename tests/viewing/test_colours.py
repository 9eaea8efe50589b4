"""The colours of organs and of classes are told apart by people with each kind of colour vision, and are seen on black.

Simulation of dichromats: Machado, Oliveira & Fernandes 2009, doi:10.1109/TVCG.2009.113, table 1 at severity 1.
Difference of colours: CIEDE2000, Sharma, Wu & Dalal 2005, doi:10.1002/col.20070.
"""

from itertools import combinations

import numpy as np
import pytest

from medssm.data.scans.organs import AGREEMENT, BTCV_ORGANS, COLOURS, DIFFERENT, ONLY_LEFT, ONLY_RIGHT
from medssm.viewing.palette import palette, readable_on

VISIONS = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}
TO_XYZ = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.072175], [0.0193339, 0.119192, 0.9503041]]

# Of each organ, those of higher number that touch it or lie beside it in a slice of the abdomen.
NEIGHBOURS = {
    1: (3, 6, 7, 10, 11, 13),
    2: (3, 4, 6, 9, 11, 12),
    3: (7, 8, 10, 11, 13),
    4: (6, 7, 9, 10, 11),
    5: (6, 7, 8, 9),
    6: (7, 8, 9, 10, 11, 12, 13),
    7: (8, 10, 11, 13),
    8: (9, 10, 11, 12, 13),
    9: (10, 11, 12),
    10: (11, 13),
    11: (13,),
    12: (13,),
}
APART, NEIGHBOURS_APART = 10.0, 15.0
COMPARISON = (AGREEMENT, ONLY_LEFT, ONLY_RIGHT, DIFFERENT)


def linear(colour: tuple[int, int, int]) -> np.ndarray:
    """sRGB to light."""
    value = np.array(colour) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def lab(colour: tuple[int, int, int], vision: str) -> np.ndarray:
    """CIELAB under D65 of a colour as it is seen."""
    light = np.clip(np.array(VISIONS[vision]) @ linear(colour), 0, 1)
    t = np.array(TO_XYZ) @ light / np.sum(TO_XYZ, axis=1)
    x, y, z = np.where(t > (6 / 29) ** 3, np.cbrt(t), t * (29 / 6) ** 2 / 3 + 4 / 29)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def ciede2000(first: np.ndarray, second: np.ndarray) -> float:
    """In the steps and with the names of Sharma et al."""
    chroma = (np.hypot(*first[1:]) + np.hypot(*second[1:])) / 2
    g = (1 - np.sqrt(chroma**7 / (chroma**7 + 25**7))) / 2
    (l1, a1, b1), (l2, a2, b2) = first * [1, 1 + g, 1], second * [1, 1 + g, 1]
    c1, c2, h1, h2 = np.hypot(a1, b1), np.hypot(a2, b2), np.arctan2(b1, a1), np.arctan2(b2, a2)
    dh = (h2 - h1 + np.pi) % (2 * np.pi) - np.pi
    h = np.degrees(h1 + dh / 2) % 360
    mean_l, mean_c, big_dh = (l1 + l2) / 2, (c1 + c2) / 2, 2 * np.sqrt(c1 * c2) * np.sin(dh / 2)
    cos = [np.cos(np.radians(angle)) for angle in (h - 30, 2 * h, 3 * h + 6, 4 * h - 63)]
    t = 1 + np.dot([-0.17, 0.24, 0.32, -0.2], cos)
    s_l = 1 + 0.015 * (mean_l - 50) ** 2 / np.sqrt(20 + (mean_l - 50) ** 2)
    parts = np.array([(l2 - l1) / s_l, (c2 - c1) / (1 + 0.045 * mean_c), big_dh / (1 + 0.015 * mean_c * t)])
    theta = 30 * np.exp(-(((h - 275) / 25) ** 2))
    rotation = -2 * np.sqrt(mean_c**7 / (mean_c**7 + 25**7)) * np.sin(np.radians(2 * theta))
    return float(np.sqrt(parts @ parts + rotation * parts[1] * parts[2]))


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
        ((50, -1.0, 2.0), (50, 0, 0), 2.3669),
        ((50, 2.5, 0), (73, 25, -18), 27.1492),
        ((50, 2.5, 0), (56, -27, -3), 31.9030),
        ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
        ((22.7233, 20.0904, -46.6940), (23.0331, 14.9730, -42.5619), 2.0373),
    ],
)
def test_differences_are_those_of_the_published_table(first, second, expected: float) -> None:
    assert ciede2000(np.array(first, float), np.array(second, float)) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("vision", VISIONS)
def test_organs_differ_for_every_colour_vision(vision: str) -> None:
    for first, second in combinations(BTCV_ORGANS, 2):
        apart = NEIGHBOURS_APART if second in NEIGHBOURS[first] else APART
        found = ciede2000(lab(COLOURS[first], vision), lab(COLOURS[second], vision))
        assert found >= apart, f"{BTCV_ORGANS[first]} and {BTCV_ORGANS[second]}: {found:.1f}"


@pytest.mark.parametrize("vision", VISIONS)
def test_agreement_and_the_kinds_of_error_differ_for_every_colour_vision(vision: str) -> None:
    for first, second in combinations(COMPARISON, 2):
        assert ciede2000(lab(first, vision), lab(second, vision)) >= 25


@pytest.mark.parametrize("colour", [*COLOURS.values(), *COMPARISON])
def test_colours_are_seen_on_the_black_of_a_picture(colour: tuple[int, int, int]) -> None:
    """WCAG 2.2, 1.4.11: 3 to 1."""
    assert (np.array(TO_XYZ)[1] @ linear(colour) + 0.05) / 0.05 >= 3


@pytest.mark.parametrize(("count", "apart"), [(6, 16.0), (10, 10.0), (20, 4.5), (40, 4.0), (80, 1.9)])
@pytest.mark.parametrize("vision", VISIONS)
def test_classes_differ_for_every_colour_vision(vision: str, count: int, apart: float) -> None:
    """2.3 is about the difference that is just noticed beside one another; a plane of colours has no 80 for all."""
    seen = [lab(colour, vision) for colour in palette(count).tolist()]
    assert min(ciede2000(first, second) for first, second in combinations(seen, 2)) >= apart


def test_a_class_keeps_its_colour_whatever_their_number() -> None:
    many = palette(300)
    for count in (1, 7, 64, 65, 150):
        np.testing.assert_array_equal(palette(count), many[:count])
    assert len({tuple(colour) for colour in many.tolist()}) == 300


@pytest.mark.parametrize("colour", palette(150).tolist())
def test_letters_are_read_on_the_colour_of_a_class(colour: list[int]) -> None:
    """WCAG 2.2, 1.4.3: 4.5 to 1."""
    background, letters = (np.array(TO_XYZ)[1] @ linear(c) + 0.05 for c in (colour, readable_on(tuple(colour))))
    assert max(background / letters, letters / background) >= 4.5
