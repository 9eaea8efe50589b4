"""Random views of photographs with label maps."""

import numpy as np
import pytest
import torch
from torch import Tensor

from medssm.data.transforms.colours import normalised
from medssm.data.transforms.label_maps import (
    SceneAugmentation,
    fitted_size,
    is_mixed,
    random_crop,
    random_view,
    resized_labels,
    resized_photograph,
    scaled_size,
)

COLOURS = ((0.5, 0.4, 0.3), (0.2, 0.25, 0.5))
PLAIN = SceneAugmentation(short_side=8, long_side=32, ratio=(1, 1), crop=(8, 8), largest_share=1, distortion=None)


@pytest.mark.parametrize(
    ("size", "expected"),
    [((512, 683), (512, 683)), ((1024, 2048), (512, 1024)), ((300, 200), (768, 512)), ((100, 4000), (51, 2048))],
)
def test_the_shorter_side_is_fitted_unless_the_longer_one_is_too_long(
    size: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert fitted_size(size, 512, 2048) == expected


def test_multiples_are_rounded_to_the_nearest() -> None:
    assert scaled_size((513, 683), 0.75) == (385, 512)


def bilinear(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Pixel by pixel: the four neighbours of a pixel's centre, without smoothing."""
    found = np.empty((3, height, width))
    for row in range(height):
        for column in range(width):
            y = min(max((row + 0.5) * image.shape[1] / height - 0.5, 0), image.shape[1] - 1)
            x = min(max((column + 0.5) * image.shape[2] / width - 0.5, 0), image.shape[2] - 1)
            top, left = int(y), int(x)
            bottom, right = min(top + 1, image.shape[1] - 1), min(left + 1, image.shape[2] - 1)
            upper = image[:, top, left] * (1 - x + left) + image[:, top, right] * (x - left)
            lower = image[:, bottom, left] * (1 - x + left) + image[:, bottom, right] * (x - left)
            found[:, row, column] = upper * (1 - y + top) + lower * (y - top)
    return found


@pytest.mark.parametrize("size", [(5, 4), (13, 22), (7, 9)])
def test_resizing_is_bilinear_without_smoothing(size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (3, 7, 9), dtype=np.uint8)
    found = resized_photograph(torch.from_numpy(image), size).numpy()
    assert abs(found - bilinear(image, *size)).max() <= 0.501


def test_label_maps_are_resized_to_the_nearest() -> None:
    labels = torch.tensor([[0, 1, 2], [3, 4, 255]], dtype=torch.uint8)
    twice = labels.repeat_interleave(2, 0).repeat_interleave(2, 1)
    assert torch.equal(resized_labels(labels, (4, 6)), twice)
    assert resized_labels(twice, (2, 3)).tolist() == labels.tolist()


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([[0, 0, 0, 1]], False),
        ([[0, 0, 1, 255]], True),
        ([[0, 0, 0, 0]], False),
        ([[0, 255, 255, 255]], False),
        ([[255, 255, 255, 255]], False),
        ([[0, 0, 1, 2]], True),
    ],
)
def test_the_share_of_a_class_is_of_the_pixels_that_have_one(labels: list[list[int]], expected: bool) -> None:
    assert is_mixed(np.array(labels, np.uint8), 0.75) == expected


def test_a_crop_of_one_class_is_drawn_again() -> None:
    """A twentieth of all crops is mixed; one of eleven is with probability 0.43."""
    labels = np.zeros((4, 200), np.uint8)
    labels[:, 100:] = 1
    settings = SceneAugmentation(crop=(4, 20))
    found = [random_crop(labels, settings, np.random.default_rng(seed)) for seed in range(300)]
    shares = np.mean([is_mixed(labels[crop], 0.75) for crop in found])
    chance = np.mean([is_mixed(labels[:, start : start + 20], 0.75) for start in range(181)])
    assert shares == pytest.approx(1 - (1 - chance) ** 11, abs=0.08)


def view(settings: SceneAugmentation, shape: tuple[int, int] = (8, 8), seed: int = 0) -> tuple[Tensor, Tensor]:
    """The view of a photograph whose red is the label, times 10, and nowhere else the same."""
    labels = np.arange(shape[0] * shape[1]).reshape(shape).astype(np.uint8) % 25
    photograph = np.stack([labels * 10, labels, labels], axis=-1).astype(np.uint8)
    return random_view(photograph, labels, settings, COLOURS, np.random.default_rng(seed))


@pytest.mark.parametrize("seed", range(4))
def test_a_photograph_and_its_label_map_are_changed_together(seed: int) -> None:
    settings = PLAIN.model_copy(update={"crop": (5, 6)})
    image, labels = view(settings, seed=seed)
    assert image.shape == (3, 5, 6)
    assert torch.equal((image[0] * 0.2 + 0.5).mul(255).round(), labels.float() * 10)


def test_mirroring_happens_half_of_the_time() -> None:
    first = [int(view(PLAIN, seed=seed)[1][0, 0]) for seed in range(200)]
    assert set(first) == {0, 7}
    assert first.count(7) == pytest.approx(100, abs=25)


def test_a_small_photograph_is_filled_up_with_the_mean_and_no_class() -> None:
    image, labels = view(PLAIN.model_copy(update={"short_side": 6, "crop": (8, 9), "flip": 0.0}), (6, 7))
    assert image.shape == (3, 8, 9)
    assert torch.all(image[:, 6:] == 0)
    assert torch.all(image[:, :, 7:] == 0)
    assert torch.all(labels[6:] == 255)
    assert torch.all(labels[:, 7:] == 255)
    assert torch.all(labels[:6, :7] != 255)


def test_everything_random_comes_from_the_generator() -> None:
    settings = SceneAugmentation(short_side=8, long_side=32, crop=(8, 8))
    (image, labels), (again, labels_again), (other, _) = (view(settings, seed=seed) for seed in (3, 3, 4))
    assert torch.equal(image, again)
    assert torch.equal(labels, labels_again)
    assert not torch.equal(image, other)


def test_sizes_are_drawn_within_the_ratio() -> None:
    """Of labels that are all different, as many are seen as the crop shows of the photograph."""
    settings = PLAIN.model_copy(update={"ratio": (0.5, 2.0), "crop": (16, 16)})
    sides = [int((view(settings, seed=seed)[1] != 255).any(1).sum()) for seed in range(100)]
    assert min(sides) in (4, 5)
    assert max(sides) in (15, 16)


def test_colours_have_mean_0_and_deviation_1() -> None:
    image = torch.tensor([255, 51, 0], dtype=torch.uint8).view(3, 1, 1)
    assert normalised(image, *COLOURS).flatten().tolist() == pytest.approx([2.5, -0.8, -0.6])
