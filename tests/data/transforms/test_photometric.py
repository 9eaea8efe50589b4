"""Changed colours against the colour arithmetic of Python's library."""

import colorsys

import numpy as np
import pytest

from medssm.data.transforms.photometric import PhotometricDistortion, distort, with_hue, with_saturation

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 5, 3), dtype=np.uint8)


def by_colorsys(turn: float = 0.0, factor: float = 1.0) -> np.ndarray:
    changed = np.empty(PIXELS.shape)
    for place in np.ndindex(PIXELS.shape[:2]):
        hue, saturation, value = colorsys.rgb_to_hsv(*PIXELS[place] / 255)
        changed[place] = colorsys.hsv_to_rgb((hue + turn) % 1, min(saturation * factor, 1), value)
    return changed * 255


@pytest.mark.parametrize("factor", [0.5, 1.0, 1.5])
def test_saturation_is_multiplied(factor: float) -> None:
    assert abs(with_saturation(PIXELS, factor) - by_colorsys(factor=factor)).max() < 5


@pytest.mark.parametrize("turn", [-18, 7, 17])
def test_hue_is_turned_by_steps_of_two_degrees(turn: int) -> None:
    """A step of 360/256 degrees moves a colour by up to 6 of 255."""
    assert abs(with_hue(PIXELS, turn) - by_colorsys(turn / 180)).max() < 7


ALONE = PhotometricDistortion(brightness=0, contrast=(1, 1), saturation=(1, 1), hue=0, probability=1)


def test_brightness_is_added_and_cut_off() -> None:
    settings = ALONE.model_copy(update={"brightness": 200.0, "probability": 1.0})
    grey = np.full((2, 2, 3), 100, np.uint8)
    found = {int(distort(grey, settings, np.random.default_rng(seed))[0, 0, 0]) for seed in range(50)}
    assert min(found) == 0
    assert max(found) == 255
    assert len(found) > 10


def test_contrast_multiplies() -> None:
    settings = ALONE.model_copy(update={"contrast": (0.5, 0.5)})
    grey = np.full((2, 2, 3), 101, np.uint8)
    assert np.all(distort(grey, settings, np.random.default_rng(0)) == 50)


def test_without_probability_nothing_changes() -> None:
    settings = PhotometricDistortion(probability=0)
    assert np.array_equal(distort(PIXELS, settings, np.random.default_rng(0)), PIXELS)


def test_each_change_happens_half_of_the_time() -> None:
    """Grey stays grey under saturation and hue, so that brightness and contrast are seen alone."""
    grey = np.full((1, 1, 3), 128, np.uint8)
    drawn = [distort(grey, PhotometricDistortion(), np.random.default_rng(seed))[0, 0, 0] for seed in range(600)]
    assert np.mean([value == 128 for value in drawn]) == pytest.approx(0.25, abs=0.06)
