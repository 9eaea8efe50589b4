"""The classes of ADE20K."""

from collections import Counter

from medssm.data.layouts.ade20k import ADE20K_NAMES, ade20k_palette


def test_there_are_150_classes_in_the_order_of_the_benchmark() -> None:
    assert len(set(ADE20K_NAMES)) == len(ADE20K_NAMES) == 150
    numbers = {1: "wall", 2: "building", 13: "person", 47: "sand", 67: "flower", 101: "poster", 137: "traffic light"}
    assert {number: ADE20K_NAMES[number - 1] for number in numbers} == numbers
    assert ADE20K_NAMES[149] == "flag"


def test_colours_are_the_customary_ones() -> None:
    colours = dict(zip(ADE20K_NAMES, ade20k_palette(), strict=True))
    assert colours["wall"] == (120, 120, 120)
    assert colours["sky"] == (6, 230, 230)
    assert colours["flag"] == (92, 0, 255)
    shared = [colour for colour, count in Counter(colours.values()).items() if count > 1]
    assert shared == [colours["road"]] == [colours["skyscraper"]]
