"""The scenes show all classes, and colour alone does not tell them."""

import numpy as np

from medssm.data.synthetic.scenes.drawing import CLASSES, LONGEST_SIDE, SHORTEST_SIDE, Landscape, draw_landscape


def scenes(first: int, count: int) -> list[Landscape]:
    return [draw_landscape(np.random.default_rng(seed)) for seed in range(first, first + count)]


def pixels(drawn: list[Landscape]) -> tuple[np.ndarray, np.ndarray]:
    """Coarse colours and numbers of all pixels that have a class."""
    coarse = np.concatenate([(scene.photograph // 16).astype(int) @ (256, 16, 1) for scene in map(_flat, drawn)])
    numbers = np.concatenate([scene.numbers for scene in map(_flat, drawn)])
    return coarse[numbers > 0], numbers[numbers > 0] - 1


def _flat(scene: Landscape) -> Landscape:
    return Landscape(scene.photograph.reshape(-1, 3), scene.numbers.ravel())


def test_every_class_and_other_have_their_share() -> None:
    numbers = np.concatenate([scene.numbers.ravel() for scene in scenes(0, 40)])
    shares = np.bincount(numbers, minlength=len(CLASSES) + 1) / len(numbers)
    assert len(shares) == len(CLASSES) + 1
    assert shares.min() > 0.002
    assert shares.max() < 0.5


def test_sizes_differ() -> None:
    sizes = {scene.numbers.shape for scene in scenes(0, 20)}
    assert len(sizes) > 10
    assert SHORTEST_SIDE <= min(map(min, sizes)) < max(map(max, sizes)) <= LONGEST_SIDE
    assert all(scene.photograph.shape == (*scene.numbers.shape, 3) for scene in scenes(0, 5))


def test_colours_do_not_tell_the_classes() -> None:
    """A table from colours to the commonest class of 60 scenes, on 20 others: far below what can be learnt."""
    colours, classes = pixels(scenes(0, 60))
    counts = np.zeros((4096, len(CLASSES)))
    np.add.at(counts, (colours, classes), 1)
    colours, classes = pixels(scenes(1000, 20))
    guesses = counts.argmax(1)[colours]
    overlaps = [
        np.sum((guesses == label) & (classes == label)) / np.sum((guesses == label) | (classes == label))
        for label in range(len(CLASSES))
    ]
    assert np.mean(overlaps) < 0.35
