"""The motions can be told apart, and from one frame they cannot."""

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest

from medssm.data.synthetic.motions.drawing import MOTIONS, SPEEDS, draw_disc, draw_motion, moving_disc

OPPOSITES = {"left": "right", "up": "down", "clockwise": "anticlockwise", "grow": "shrink"}
SIDE, COUNT, KNOWN, LENGTH = 16, 40, 25, 16


@pytest.mark.parametrize("pair", OPPOSITES.items())
def test_a_clip_played_backwards_is_one_of_the_opposite_motion(pair: tuple[str, str]) -> None:
    generator = np.random.default_rng(0)
    scene, start, speed, count = draw_disc(generator), generator.uniform(0, 1, 4), 0.03, 30
    for name, opposite in (pair, pair[::-1]):
        forward = moving_disc(scene, name, start, speed, count)
        coordinate, sign = MOTIONS[name]
        end = start + (count - 1) * speed * sign * (np.arange(4) == coordinate)
        backward = moving_disc(scene, opposite, end, speed, count)
        assert np.abs(forward[::-1].astype(int) - backward).max() <= 1
        assert np.abs(forward.astype(int) - backward).max() > 100


def test_every_motion_has_its_opposite() -> None:
    assert {*OPPOSITES, *OPPOSITES.values()} == set(MOTIONS)


@pytest.mark.parametrize("name", MOTIONS)
def test_all_states_are_equally_likely_in_every_frame(name: str) -> None:
    """The four coordinates of frame t are those of the start, one of them shifted on its circle."""
    coordinate, sign = MOTIONS[name]
    starts = np.random.default_rng(0).uniform(0, 1, (4000, 4))
    for frame in (0, 7, 31):
        states = (starts + frame * 0.03 * sign * (np.arange(4) == coordinate)) % 1
        assert np.abs([np.histogram(states[:, axis], 10, (0, 1))[0] / 4000 - 0.1 for axis in range(4)]).max() < 0.02


@pytest.mark.parametrize(("axis", "coordinate"), [(1, 0), (0, 1)])
def test_what_leaves_on_one_side_comes_in_on_the_other(axis: int, coordinate: int) -> None:
    scene = draw_disc(np.random.default_rng(1))
    scene = type(scene)(np.full_like(scene.background, 128.0), scene.colours)
    start = np.array([0.5, 0.5, 0.2, 0.3])
    half_a_round = start + 0.5 * (np.arange(4) == coordinate)
    side = scene.background.shape[axis]
    rolled = np.roll(scene.frame(start), side // 2, axis)
    np.testing.assert_array_equal(scene.frame(half_a_round), rolled)


def test_clips_differ_in_shape_length_and_colours() -> None:
    clips = [draw_motion("left", np.random.default_rng(seed)) for seed in range(20)]
    assert len({clip.shape for clip in clips}) > 15
    assert all(clip.dtype == np.uint8 and not any(side % 2 for side in clip.shape[1:3]) for clip in clips)


@cache
def clips() -> tuple[np.ndarray, np.ndarray]:
    """(N, LENGTH, SIDE, SIDE) in grey, and labels."""
    found, labels = [], []
    for label, name in enumerate(MOTIONS):
        for number in range(COUNT):
            generator = np.random.default_rng((label, number))
            scene, start, speed = draw_disc(generator), generator.uniform(0, 1, 4), generator.uniform(*SPEEDS)
            clip = moving_disc(scene, name, start, speed, LENGTH).mean(-1)
            rows, columns = (np.linspace(0, side - 1, SIDE).round().astype(int) for side in clip.shape[1:])
            found.append(clip[:, rows][:, :, columns])
            labels.append(label)
    return np.stack(found) - 128, np.array(labels)


def accuracy(features: Callable[[np.ndarray], np.ndarray]) -> float:
    """On clips that were not learned, of ridge regression from features to the classes."""
    pictures, labels = clips()
    values = features(pictures).reshape(len(labels), -1)
    values = values / values.std()
    is_known = np.arange(len(labels)) % COUNT < KNOWN
    targets = np.eye(len(MOTIONS))[labels] - 1 / len(MOTIONS)
    known = values[is_known]
    weights = np.linalg.solve(known.T @ known + 10 * np.eye(known.shape[1]), known.T @ targets[is_known])
    return float(((values[~is_known] @ weights).argmax(1) == labels[~is_known]).mean())


def shifts(pictures: np.ndarray) -> np.ndarray:
    """Mean products of each frame with the next one but one, shifted by a pixel or two: which way things go."""
    before, after = pictures[:, :-2], pictures[:, 2:]
    moves = [(-1, 0), (1, 0), (0, -1), (0, 1), (-2, 0), (2, 0), (0, -2), (0, 2)]
    return np.stack([(before * np.roll(after, move, (2, 3))).mean((1, 2, 3)) / 1000 for move in moves], 1)


def test_one_frame_tells_nothing_and_two_tell_something() -> None:
    """Eight classes: chance is 1/8, with a deviation of 0.03 on 120 clips."""
    for frame in (0, LENGTH - 1):
        assert accuracy(lambda pictures, frame=frame: pictures[:, frame]) < 0.22
        assert accuracy(lambda pictures, frame=frame: np.abs(np.fft.fft2(pictures[:, frame]))) < 0.22
    assert accuracy(shifts) > 0.35
