"""Label maps over photographs: colours, shares, and what has no class."""

import numpy as np
import pytest

from medssm.viewing.label_maps import class_shares, label_map_picture, legend, overlay, painted
from medssm.viewing.palette import palette

NAMES = ("wall", "sky", "tree", "road")
COLOURS = palette(len(NAMES))


@pytest.fixture
def labels() -> np.ndarray:
    """Half tree, a quarter sky, an eighth wall, an eighth without a class."""
    values = np.zeros((80, 160), np.uint8)
    values[:, :80] = 2
    values[:40, 80:] = 1
    values[40:, 120:] = 255
    return values


def test_shares_are_of_the_pixels_that_have_a_class(labels: np.ndarray) -> None:
    found = class_shares(labels, NAMES)
    assert [(share.label, share.name, share.pixels) for share in found] == [
        (2, "tree", 6400),
        (1, "sky", 3200),
        (0, "wall", 1600),
    ]
    assert [share.share for share in found] == pytest.approx([4 / 7, 2 / 7, 1 / 7])
    assert class_shares(np.full((3, 3), 255, np.uint8), NAMES) == []


@pytest.mark.parametrize("dtype", [np.uint8, np.int64])
def test_every_class_is_painted_in_its_colour(labels: np.ndarray, dtype: type) -> None:
    picture = painted(labels.astype(dtype), COLOURS)
    for label in (0, 1, 2):
        assert (picture[labels == label] == COLOURS[label]).all()
    assert (picture[labels == 255] == 0).all()


def test_overlay_mixes_photograph_and_colour_and_draws_the_border(labels: np.ndarray) -> None:
    photograph = np.random.default_rng(0).integers(0, 256, (80, 160, 3), dtype=np.uint8)
    picture = overlay(photograph, labels, COLOURS, opacity=0.25)
    expected = 0.75 * photograph[10, 10] + 0.25 * COLOURS[2]
    np.testing.assert_allclose(picture[10, 10], expected, atol=1)
    np.testing.assert_array_equal(picture[10, 79], COLOURS[2])
    np.testing.assert_array_equal(picture[39, 100], COLOURS[1])
    np.testing.assert_array_equal(picture[labels == 255], photograph[labels == 255])


def test_legend_names_the_largest_classes_and_sums_up_the_rest() -> None:
    values = np.repeat(np.arange(4), [40, 30, 20, 10]).reshape(10, 10)
    few = legend(class_shares(values, NAMES), COLOURS, size=12, lines=2)
    most = legend(class_shares(values, NAMES), COLOURS, size=12, lines=4)
    for label in range(4):
        assert (most == COLOURS[label]).all(axis=-1).any()
        assert (few == COLOURS[label]).all(axis=-1).any() == (label < 2)
    assert few.shape[0] * 4 == most.shape[0] * 3  # two classes and the rest


def test_panels_stand_side_by_side(labels: np.ndarray) -> None:
    photograph = np.full((80, 160, 3), 90, np.uint8)
    two = label_map_picture(photograph, labels, NAMES)
    three = label_map_picture(photograph, labels, NAMES, reference=np.full_like(labels, 3))
    assert two.dtype == three.dtype == np.uint8
    assert three.shape[0] == two.shape[0]
    assert three.shape[1] >= two.shape[1] + 160
    reference = overlay(photograph, np.full_like(labels, 3), COLOURS)[0, 0]
    assert (three == reference).all(axis=-1).sum() >= 80 * 160
    assert not (two == reference).all(axis=-1).any()


def test_large_panels_are_reduced_and_tiny_ones_are_drawn() -> None:
    large = np.full((1200, 2400, 3), 90, np.uint8)
    labels = np.zeros(large.shape[:2], np.uint8)
    assert label_map_picture(large, labels, NAMES, longest=300).shape[0] < 200
    tiny = label_map_picture(large[:1, :1], labels[:1, :1], NAMES)
    assert min(tiny.shape[:2]) > 1


def test_colours_of_the_data_set_are_taken_where_given(labels: np.ndarray) -> None:
    photograph = np.full((80, 160, 3), 90, np.uint8)
    own = np.array([(10, 20, 30), (40, 50, 60), (70, 80, 90), (1, 2, 3)], np.uint8)
    picture = label_map_picture(photograph, labels, NAMES, colours=own)
    assert (picture == own[2]).all(axis=-1).any()
