"""Left and right in the names of labels, as they are written elsewhere."""

import numpy as np
import pytest

from medssm.data.scans.laterality import find_sides, mirrored_labels
from medssm.data.scans.organs import BTCV_ORGANS

PAIRS = {
    "BTCV": {(2, 3), (12, 13)},
    "AMOS": {(2, 3), (11, 12)},
    "FLARE": {(2, 13), (7, 8)},
    "WORD": {(3, 4), (15, 16)},
    "TotalSegmentator": {(2, 3), (5, 7), (6, 9), (13, 14), (15, 17), (16, 18)},
    "FreeSurfer": {(1, 6), (2, 7), (3, 8), (10, 11)},
    "radiotherapy": {(2, 3), (4, 5), (6, 7), (8, 9), (10, 11), (13, 14), (15, 16), (17, 18)},
}


@pytest.mark.parametrize("publisher", PAIRS)
def test_pairs_are_found_however_they_are_written(publisher: str, label_names: dict[str, dict[int, str]]) -> None:
    assert find_sides(label_names[publisher]) == (tuple(sorted(PAIRS[publisher])), ())


def test_pairs_of_our_own_names() -> None:
    assert find_sides(BTCV_ORGANS) == (((2, 3), (12, 13)), ())


@pytest.mark.parametrize(
    ("names", "alone"),
    [
        (["left kidney", "liver"], ("left kidney",)),
        (["rkid", "left kidney"], ("rkid", "left kidney")),
        (["Kidney_L", "right kidney", "RightKidney"], ("Kidney_L", "right kidney", "RightKidney")),
        (["lad", "liver", "rectum", "lateral ventricle", "L1", "L", "bright spot"], ()),
        (["left and right lungs", "left atrium", "lingula left", "lung_middle_lobe_right"], ()),
    ],
)
def test_names_that_lack_their_partner(names: list[str], alone: tuple[str, ...]) -> None:
    assert find_sides(dict(enumerate(names, 1))) == ((), alone)


def test_words_of_both_orders_and_cases_are_one_organ() -> None:
    assert find_sides({1: "Kidney-L", 2: "right kidney", 3: "ventricle L", 4: "ventricle R"}).pairs == ((1, 2), (3, 4))


def test_no_label_is_in_two_pairs() -> None:
    assert find_sides({1: "ll", 2: "rl", 3: "lr", 4: "rr"}).pairs == ((1, 2), (3, 4))


def test_a_mirror_exchanges_both_of_a_pair_and_nothing_else() -> None:
    np.testing.assert_array_equal(mirrored_labels([(1, 4), (2, 3)], 6), [0, 4, 3, 2, 1, 5])
