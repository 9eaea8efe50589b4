"""Images with objects on their way into a detector."""

import numpy as np
import pytest
import torch

from medssm.data.transforms.boxes import (
    AnnotatedImage,
    BoxCropSettings,
    DetectionAugmentation,
    augmented,
    cropped_example,
    flipped,
    padded_together,
    random_window,
    resized_example,
    resized_size,
)
from medssm.data.transforms.colours import normalised

THREE_TIMES = DetectionAugmentation(crop=BoxCropSettings(), short_sides=tuple(range(480, 801, 32)))


def example(height: int = 60, width: int = 90) -> AnnotatedImage:
    """A white rectangle in the upper left and one in the lower right, on black, with their boxes and masks."""
    boxes = torch.tensor([[10.0, 5, 40, 25], [60, 30, 90, 60]])
    masks = torch.zeros(2, height, width, dtype=torch.uint8)
    for mask, (left, top, right, bottom) in zip(masks, boxes.int().tolist(), strict=True):
        mask[top:bottom, left:right] = 1
    image = (masks.sum(0) * 255).to(torch.uint8).expand(3, -1, -1)
    return AnnotatedImage(image, boxes, torch.tensor([3, 1]), masks)


def boxes_of(masks: torch.Tensor) -> torch.Tensor:
    """The boxes around masks, by a second way."""
    found = []
    for mask in masks:
        rows, columns = torch.nonzero(mask, as_tuple=True)
        found.append([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
    return torch.tensor(found, dtype=torch.float32).reshape(-1, 4)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((480, 640), (800, 1067)),  # the short side decides; 640 * 800 / 480 = 1066.67
        ((640, 480), (1067, 800)),
        ((427, 640), (800, 1199)),
        ((426, 640), (800, 1202)),
        ((375, 1000), (500, 1333)),  # the long side decides
        ((612, 612), (800, 800)),
    ],
)
def test_sizes_are_those_of_the_published_pipeline(size, expected):
    assert resized_size(size, 800, 1333) == expected


def test_flipping_moves_boxes_and_masks_with_the_pixels():
    found = flipped(example())
    assert found.boxes.tolist() == [[50, 5, 80, 25], [0, 30, 30, 60]]
    torch.testing.assert_close(boxes_of(found.masks), found.boxes)
    assert torch.equal(found.image[0], found.masks.sum(0).to(torch.uint8) * 255)


@pytest.mark.parametrize("size", [(120, 180), (30, 45), (60, 45)])
def test_resizing_moves_boxes_and_masks_with_the_pixels(size):
    found = resized_example(example(), size)
    assert found.size == size
    assert found.masks.shape == (2, *size)
    torch.testing.assert_close(boxes_of(found.masks), found.boxes, atol=1, rtol=0)
    scale = torch.tensor([size[1] / 90, size[0] / 60]).repeat(2)
    torch.testing.assert_close(found.boxes, example().boxes * scale)


def test_resizing_interpolates_as_opencv_does_without_smoothing():
    """Halving takes the mean of two neighbours; at thirds, every third pixel itself."""
    row = torch.arange(12, dtype=torch.uint8).expand(3, 12, 12)
    plain = AnnotatedImage(row, torch.zeros(0, 4), torch.zeros(0, dtype=torch.long), torch.zeros(0, 12, 12).byte())
    assert resized_example(plain, (12, 4)).image[0, 0].tolist() == [1, 4, 7, 10]


def test_a_crop_keeps_what_reaches_into_it():
    found = cropped_example(example(), (10, 20, 30, 30))
    assert found.size == (30, 30)
    assert found.boxes.tolist() == [[0, 0, 20, 15]]
    assert found.labels.tolist() == [3]
    torch.testing.assert_close(boxes_of(found.masks), found.boxes)


def test_a_crop_without_objects_is_an_image_without_objects():
    found = cropped_example(example(), (40, 0, 20, 20))
    assert (found.boxes.shape, found.masks.shape) == ((0, 4), (0, 20, 20))


def test_windows_have_sides_of_the_range_and_lie_within():
    random = np.random.default_rng(0)
    windows = np.array([random_window((500, 400), (384, 600), random) for _ in range(400)])
    top, left, height, width = windows.T
    assert (height.min(), height.max(), width.min(), width.max()) == (384, 500, 384, 400)
    assert ((top >= 0) & (top + height <= 500) & (left >= 0) & (left + width <= 400)).all()


def test_the_same_generator_gives_the_same_view():
    first, again, other = (augmented(example(), THREE_TIMES, np.random.default_rng(seed)) for seed in (4, 4, 5))
    assert torch.equal(first.image, again.image)
    assert torch.equal(first.boxes, again.boxes)
    assert first.size != other.size or not torch.equal(first.image, other.image)


def test_views_follow_their_settings():
    views = [augmented(example(), THREE_TIMES, np.random.default_rng(seed)) for seed in range(60)]
    assert {min(view.size) for view in views} <= set(range(480, 801, 32))
    assert len({view.size for view in views}) > 20  # crops have any ratio
    once = [augmented(example(), DetectionAugmentation(), np.random.default_rng(seed)) for seed in range(20)]
    assert {view.size for view in once} == {(800, 1200)}
    assert {view.boxes[0, 0].item() > 200 for view in once} == {True, False}


def test_objects_stay_on_their_pixels_through_all_steps():
    for seed in range(30):
        view = augmented(example(), THREE_TIMES, np.random.default_rng(seed))
        kept = view.masks.bool().flatten(1).any(1)
        torch.testing.assert_close(boxes_of(view.masks[kept]), view.boxes[kept], atol=3, rtol=0.02)


def test_colours_are_normalised_and_padding_is_zero():
    images = [torch.full((3, 20, 40), 255, dtype=torch.uint8), torch.zeros(3, 33, 10, dtype=torch.uint8)]
    mean, std = (0.5, 0.25, 0.0), (0.5, 0.25, 1.0)
    batch = padded_together([normalised(image, mean, std) for image in images], 32)
    assert batch.shape == (2, 3, 64, 64)
    assert batch[0, :, 0, 0].tolist() == [1, 3, 1]
    assert batch[1, :, 32, 9].tolist() == [-1, -1, 0]
    assert not batch[0, :, 20:].any()
    assert not batch[0, :, :, 40:].any()
    assert not batch[1, :, 33:].any()


def test_sides_of_crops_come_in_order():
    with pytest.raises(ValueError, match="smallest must come first"):
        BoxCropSettings(sides=(600, 384))
