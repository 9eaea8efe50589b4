"""Pictures of objects: what is painted where, and what is not."""

import weakref
from collections.abc import Iterator

import numpy as np
import pytest

from medssm.viewing.boxes import MASK_OPACITY, objects_picture
from medssm.viewing.palette import palette

NAMES = ("disc", "square", "star")
GREY = np.full((400, 600, 3), 90, np.uint8)


def draw(image: np.ndarray = GREY, boxes=(), labels=(), **options) -> np.ndarray:
    return objects_picture(image, np.array(boxes, float).reshape(-1, 4), np.array(labels, int), NAMES, **options)


def changed(picture: np.ndarray, image: np.ndarray = GREY) -> np.ndarray:
    return (picture != image).any(axis=-1)


def test_box_has_its_class_colour_along_its_edges_and_nowhere_else() -> None:
    picture = draw(boxes=[(100, 200, 301, 333)], labels=[2])
    colour = palette(3)[2]
    for row, column in ((200, 150), (332, 150), (250, 100), (250, 300)):
        np.testing.assert_array_equal(picture[row, column], colour)
    rows, columns = np.nonzero(changed(picture)[200:])
    assert (rows.max() + 200, columns.min(), columns.max()) == (332, 100, 300)
    assert not changed(picture)[205:328, 105:296].any()


def test_mask_is_see_through_with_an_outline_that_is_not() -> None:
    mask = np.zeros(GREY.shape[:2], bool)
    mask[120:180, 130:210] = True
    picture = draw(boxes=[(100, 100, 240, 200)], labels=[1], masks=[mask])
    colour = palette(3)[1].astype(float)
    np.testing.assert_allclose(picture[150, 170], MASK_OPACITY * colour + (1 - MASK_OPACITY) * 90, atol=1)
    np.testing.assert_array_equal(picture[120:180, 130], np.tile(palette(3)[1], (60, 1)))
    np.testing.assert_array_equal(picture[110, 120], GREY[0, 0])


def test_masks_are_taken_one_after_the_other_and_let_go() -> None:
    made: list[weakref.ref[np.ndarray]] = []

    def one_at_a_time() -> Iterator[np.ndarray]:
        for place in range(3):
            assert sum(mask() is not None for mask in made) <= 1
            mask = np.zeros(GREY.shape[:2], bool)
            mask[:, 100 * place : 100 * place + 50] = True
            made.append(weakref.ref(mask))
            yield mask
            del mask

    boxes = [(100 * place, 0, 100 * place + 50, 400) for place in range(3)]
    picture = draw(boxes=boxes, labels=[0, 1, 2], masks=one_at_a_time())
    assert len(made) == 3
    assert len({tuple(picture[200, 100 * place + 25]) for place in range(3)}) == 3
    with pytest.raises(ValueError, match="argument 2 is longer"):
        draw(boxes=boxes, labels=[0, 1, 2], masks=[np.ones(GREY.shape[:2], bool)])


def test_a_class_has_one_colour_from_picture_to_picture() -> None:
    first = draw(boxes=[(100, 100, 200, 200)], labels=[1])
    second = draw(boxes=[(0, 0, 50, 50), (100, 100, 200, 200)], labels=[0, 1], scores=np.array([0.9, 0.2]))
    np.testing.assert_array_equal(first[150, 100], second[150, 100])
    assert tuple(second[25, 0]) != tuple(second[150, 100])


def test_name_of_the_likelier_of_two_in_one_place_is_shown() -> None:
    """Two boxes of the whole picture have eight places for names, of which many objects leave some without any."""
    boxes = [(0, 0, 600, 400)] * 40
    few = draw(boxes=boxes[:1], labels=[2], scores=np.array([0.99]))
    many = draw(boxes=boxes, labels=[2] + [0] * 39, scores=np.array([0.99] + [0.3] * 39))
    np.testing.assert_array_equal(few[:12, :60], many[:12, :60])
    assert len(np.unique(few[:12, :60].reshape(-1, 3), axis=0)) > 2


def test_no_object_leaves_the_photograph_as_it_is() -> None:
    np.testing.assert_array_equal(draw(), GREY)
    np.testing.assert_array_equal(draw(scores=np.zeros(0), masks=iter(())), GREY)


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (7, 3), (319, 11)])
@pytest.mark.parametrize("box", [(-5, -5, -1, -1), (0, 0, 0.2, 0.1), (-1e4, -1e4, 1e4, 1e4)])
def test_tiny_images_and_boxes_at_their_edges_are_drawn(shape: tuple[int, int], box: tuple[float, ...]) -> None:
    image = np.full((*shape, 3), 90, np.uint8)
    mask = np.ones(shape, bool)
    picture = draw(image, boxes=[box], labels=[0], masks=[mask], scores=np.array([0.5]))
    assert picture.dtype == np.uint8
    factor = -(-320 // max(shape))
    assert picture.shape == (shape[0] * factor, shape[1] * factor, 3)
    assert changed(picture, np.full_like(picture, 90)).any()


def test_an_unknown_class_is_drawn_as_a_number() -> None:
    known, unknown = (draw(boxes=[(100, 100, 300, 300)], labels=[label]) for label in (2, 7))
    np.testing.assert_array_equal(unknown[200, 100], palette(8)[7])
    assert changed(known, unknown)[70:100].any()


def test_the_photograph_that_is_given_stays_unchanged() -> None:
    image = GREY.copy()
    draw(image, boxes=[(0, 0, 100, 100)], labels=[0], masks=[np.ones(image.shape[:2], bool)])
    np.testing.assert_array_equal(image, GREY)
