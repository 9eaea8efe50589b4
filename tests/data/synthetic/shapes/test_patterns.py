"""The patterns can be told apart, by what recipes leave of them, and by nothing else."""

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d, one_hot

from medssm.data.synthetic.shapes.patterns import LONGEST_SIDE, PATTERNS, SHORTEST_SIDE, draw_pattern
from medssm.data.transforms.images import ImageAugmentation, evaluation_transform, training_transform

COLOURS = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
TRAINING, VALIDATION = 25, 10


@pytest.mark.parametrize("name", PATTERNS)
def test_a_mirrored_pattern_is_the_same_pattern(name: str) -> None:
    """At some shift; otherwise flips would make another class of it."""
    u, v = np.random.default_rng(0).uniform(0, 4, (2, 500))
    mirrored = PATTERNS[name](-u, v)
    shifts = ((du, dv) for du in np.arange(0, 2, 0.02) for dv in (0.0, 0.5, 1.0, 1.5))
    assert max(np.mean(PATTERNS[name](u + du, v + dv) == mirrored) for du, dv in shifts) > 0.99


@pytest.mark.parametrize("name", PATTERNS)
def test_a_pattern_shows_in_a_third_of_an_image_and_neither_side_of_it_is_rare(name: str) -> None:
    share = PATTERNS[name](*np.random.default_rng(0).uniform(0, 4, (2, 4000))).mean()
    assert 0.2 < share < 0.6


def test_images_are_rgb_of_several_shapes() -> None:
    sizes = {draw_pattern("dots", np.random.default_rng(seed)).size for seed in range(20)}
    assert len(sizes) > 10
    assert SHORTEST_SIDE <= min(map(min, sizes)) < max(map(max, sizes)) <= LONGEST_SIDE


@cache
def drawn(key: tuple[int, int, int]) -> Image.Image:
    """The image of a (part, label, number)."""
    return draw_pattern(tuple(PATTERNS)[key[1]], np.random.default_rng(key))


@cache
def views(augmented: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Images (N, 3, 64, 64) and labels (N,), for training and for validation."""
    random_view = training_transform(ImageAugmentation(), (64, 64), *COLOURS)
    middle = evaluation_transform((64, 64), 0.875, "center", "bicubic", *COLOURS)

    def view(image: Image.Image, key: tuple[int, int, int]) -> Tensor:
        return random_view(image, np.random.default_rng((9, *key))) if augmented else middle(image)

    found: list[Tensor] = []
    for part, count in enumerate((TRAINING, VALIDATION)):
        keys = [(part, label, number) for label in range(len(PATTERNS)) for number in range(count)]
        images = [view(drawn(key), key) for key in keys]
        found += [torch.stack(images), torch.tensor([label for _, label, _ in keys])]
    return found[0], found[1], found[2], found[3]


def accuracy(features: Callable[[Tensor], Tensor], augmented: bool) -> float:
    """On the validation images, of ridge regression from fixed features to the classes."""
    images, labels, held_out, answers = views(augmented)
    known, asked = features(images).double(), features(held_out).double()
    mean, std = known.mean(0), known.std(0) + 1e-6
    known, asked = (known - mean) / std, (asked - mean) / std
    targets = one_hot(labels).double() - 1 / len(PATTERNS)
    weights = torch.linalg.solve(
        known.T @ known + 10 * torch.eye(known.shape[1], dtype=torch.float64), known.T @ targets
    )
    return float(((asked @ weights).argmax(1) == answers).double().mean())


def colour_statistics(images: Tensor) -> Tensor:
    """Means, spreads and extremes of each colour."""
    values = images.flatten(2)
    return torch.cat([values.mean(2), values.std(2), values.amin(2), values.amax(2)], 1)


def random_convolutions(images: Tensor) -> Tensor:
    """How strongly each of 128 untrained filters, in two layers, answers to the image without its colours."""
    generator = torch.Generator().manual_seed(0)
    first, second = torch.randn(64, 1, 7, 7, generator=generator), torch.randn(64, 64, 3, 3, generator=generator)
    grey = images.mean(1, keepdim=True)
    grey = (grey - grey.mean((2, 3), keepdim=True)) / (grey.std((2, 3), keepdim=True) + 1e-3)
    edges = conv2d(grey, first - first.mean((2, 3), keepdim=True), stride=2).abs() / 7
    corners = conv2d(avg_pool2d(edges, 2), second / 24).relu()
    return torch.cat(
        [layer.mean((2, 3)) for layer in (edges, corners)] + [layer.std((2, 3)) for layer in (edges, corners)], 1
    )


def test_the_classes_can_be_told_apart_and_not_by_their_colours() -> None:
    assert accuracy(random_convolutions, augmented=False) > 0.9
    assert accuracy(colour_statistics, augmented=False) < 0.3


def test_the_classes_survive_the_published_augmentation() -> None:
    """Ten classes: chance is 0.1. Untrained filters see 25 views of each."""
    assert accuracy(random_convolutions, augmented=True) > 0.4
