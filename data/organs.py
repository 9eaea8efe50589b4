"""The thirteen organs of BTCV: their label values, names, colours, and which are left-right pairs."""

BTCV_ORGANS: dict[int, str] = {
    1: "spleen",
    2: "right kidney",
    3: "left kidney",
    4: "gallbladder",
    5: "esophagus",
    6: "liver",
    7: "stomach",
    8: "aorta",
    9: "inferior vena cava",
    10: "portal and splenic veins",
    11: "pancreas",
    12: "right adrenal gland",
    13: "left adrenal gland",
}

# Labels that trade places when a scan is mirrored left to right.
BTCV_PAIRS: tuple[tuple[int, int], ...] = ((2, 3), (12, 13))

# One table for every picture in the project (RGB, 0-255). Neighbouring organs differ in lightness as well as in
# hue, so that they stay apart in the common colour-vision deficiencies.
COLOURS: dict[int, tuple[int, int, int]] = {
    1: (0, 73, 73),
    2: (230, 159, 0),
    3: (255, 214, 102),
    4: (0, 158, 115),
    5: (204, 121, 167),
    6: (146, 73, 0),
    7: (86, 180, 233),
    8: (219, 20, 20),
    9: (0, 90, 181),
    10: (182, 219, 255),
    11: (240, 228, 66),
    12: (94, 60, 153),
    13: (253, 184, 219),
}


def colour_of(label: int) -> tuple[int, int, int]:
    """The display colour of a label value (RGB, 0-255); values beyond the table repeat it."""
    return COLOURS[(label - 1) % len(COLOURS) + 1]
