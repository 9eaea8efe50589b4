"""The thirteen organs of BTCV: their label values, names and colours."""

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

# One table for every picture in the project (RGB, 0-255). Found by a search for the thirteen colours that lie farthest
# apart for people with normal vision and for those with protanopia, deuteranopia or tritanopia: organs that touch one
# another differ by at least 15 in CIEDE2000 for all of them, any two by at least 10 (tests/viewing/test_colours.py).
COLOURS: dict[int, tuple[int, int, int]] = {
    1: (5, 111, 76),
    2: (255, 255, 23),
    3: (237, 153, 50),
    4: (60, 159, 138),
    5: (220, 255, 167),
    6: (190, 120, 12),
    7: (151, 127, 229),
    8: (190, 1, 55),
    9: (11, 72, 250),
    10: (119, 248, 211),
    11: (207, 187, 243),
    12: (151, 195, 154),
    13: (102, 86, 144),
}

# Two label maps laid over each other: both hold the same organ, the left (first, predicted) one alone holds one, the
# right (second, reference) one alone does, or they hold different ones. Any two differ by 25 for every colour vision.
AGREEMENT = (30, 113, 50)
ONLY_LEFT = (240, 225, 60)
ONLY_RIGHT = (130, 170, 255)
DIFFERENT = (150, 60, 124)


def colour_of(label: int) -> tuple[int, int, int]:
    """The display colour of a label value (RGB, 0-255); values beyond the table repeat it."""
    return COLOURS[(label - 1) % len(COLOURS) + 1]
