"""RandAugment of clips against the definitions of its operations, written out a second time on single pixels."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps
from torch import Tensor

from medssm.data.transforms.rand_augment import _OPERATIONS, RandAugmentSettings, rand_augment

Picture = Callable[[Image.Image], Image.Image]


def pictures(count: int = 2, height: int = 32, width: int = 48) -> Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(20, 200, (count, 3, height, width), dtype=np.uint8))


# What Pillow makes of a frame at strength 0.9; from the published ranges.
BY_PILLOW: dict[tuple[str, int], Picture] = {
    ("brightness", 1): lambda image: ImageEnhance.Brightness(image).enhance(1.81),
    ("brightness", -1): lambda image: ImageEnhance.Brightness(image).enhance(0.19),
    ("contrast", 1): lambda image: ImageEnhance.Contrast(image).enhance(1.81),
    ("saturation", -1): lambda image: ImageEnhance.Color(image).enhance(0.19),
    ("sharpness", 1): lambda image: ImageEnhance.Sharpness(image).enhance(1.81),
    ("autocontrast", 1): ImageOps.autocontrast,
    ("equalize", 1): ImageOps.equalize,
    ("invert", 1): ImageOps.invert,
    ("posterize", 1): lambda image: ImageOps.posterize(image, 1),
    ("solarize", 1): lambda image: ImageOps.solarize(image, 1),
}


@pytest.mark.parametrize("operation", BY_PILLOW)
def test_colours_change_as_pillow_changes_them(operation: tuple[str, int]) -> None:
    name, sign = operation
    frames = pictures()
    found = _OPERATIONS[name](frames, 0.9, sign)
    for frame, changed in zip(frames, found, strict=True):
        image = Image.fromarray(frame.permute(1, 2, 0).numpy())
        expected = np.asarray(BY_PILLOW[operation](image)).astype(int)
        inner = (slice(1, -1), slice(1, -1)) if name == "sharpness" else (slice(None), slice(None))
        difference = np.abs(changed.permute(1, 2, 0).numpy().astype(int) - expected)[inner]
        assert difference.max() <= 2, name


@pytest.mark.parametrize(("name", "axis"), [("translate_x", 3), ("translate_y", 2)])
@pytest.mark.parametrize("sign", [1, -1])
def test_shifts_are_a_share_of_the_side_and_leave_black(name: str, axis: int, sign: int) -> None:
    frames = pictures(height=40, width=40)
    found = _OPERATIONS[name](frames, 1.0, sign)  # 0.45 x 40 = 18 pixels
    kept = torch.roll(frames, 18 * sign, axis)
    outside = torch.arange(40) < 18 if sign > 0 else torch.arange(40) >= 22
    kept.index_fill_(axis, outside.nonzero()[:, 0], 0)
    assert (found.int() - kept.int()).abs().max() <= 1


def test_turning_by_thirty_degrees_moves_a_point_there() -> None:
    frames = torch.zeros(1, 3, 41, 41, dtype=torch.uint8)
    frames[:, :, 20, 32:35] = 255
    for sign in (1, -1):
        rows, columns = np.nonzero(_OPERATIONS["rotate"](frames, 1.0, sign)[0, 0].numpy() > 60)
        angle = np.degrees(np.arctan2(rows.mean() - 20, columns.mean() - 20))
        assert abs(abs(angle) - 30) < 2
        assert np.sign(angle) == sign


@pytest.mark.parametrize(("name", "axis"), [("shear_x", 0), ("shear_y", 1)])
def test_shears_slant_lines_from_the_upper_left_corner_on(name: str, axis: int) -> None:
    picture = torch.zeros(40, 40, dtype=torch.uint8)
    picture[:, 20] = 255
    frames = (picture if axis == 0 else picture.T).expand(1, 3, 40, 40)
    found = _OPERATIONS[name](frames, 1.0, 1)[0, 0].float()
    found = found if axis == 0 else found.T
    centres = (found * torch.arange(40)).sum(1) / found.sum(1)
    slope = np.polyfit(np.arange(40), centres.numpy(), 1)[0]
    assert abs(abs(slope) - 0.3) < 0.01
    assert abs(float(centres[0]) - 20) < 0.5


@pytest.mark.parametrize("name", _OPERATIONS)
@pytest.mark.parametrize("strength", [0.0, 1.0])
def test_the_ends_of_the_range_are_possible(name: str, strength: float) -> None:
    frames = pictures()
    for sign in (1, -1):
        found = _OPERATIONS[name](frames, strength, sign)
        assert (found.shape, found.dtype) == (frames.shape, torch.uint8)


def test_as_many_layers_are_applied_as_asked_and_none_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[tuple[str, float]] = []

    def note(name: str) -> Callable[[Tensor, float, int], Tensor]:
        return lambda frames, strength, sign: called.append((name, strength)) or frames

    for name in _OPERATIONS:
        monkeypatch.setitem(_OPERATIONS, name, note(name))
    settings = RandAugmentSettings(operations="pytorchvideo", probability=1.0)
    for seed in range(50):
        called.clear()
        rand_augment(pictures(), settings, np.random.default_rng(seed))
        assert len({name for name, _ in called}) == len(called) == 4
        assert all(0.6 < strength <= 1 for _, strength in called)
    called.clear()
    for seed in range(100):
        rand_augment(pictures(), RandAugmentSettings(operations="pytorchvideo"), np.random.default_rng(seed))
    assert 150 < len(called) < 250  # half of 400
    assert len({name for name, _ in called}) == len(_OPERATIONS) == 14


def test_timm_is_asked_for_the_published_operations() -> None:
    """rand-m7-n4-mstd0.5-inc1 of timm, drawn from the same seed, frame by frame."""
    import random

    from timm.data.auto_augment import rand_augment_transform

    frames = pictures()
    settings = RandAugmentSettings(operations="timm", magnitude=7)
    hparams = {"img_mean": (128, 128, 128), "interpolation": Image.Resampling.BICUBIC}
    transform = rand_augment_transform("rand-m7-n4-mstd0.5-inc1", hparams)
    for seed in range(20):
        found = rand_augment(frames, settings, np.random.default_rng(seed))
        own = np.random.default_rng(int(np.random.default_rng(seed).integers(2**63)))
        seeds = own.integers(2**32, size=3, dtype=np.uint64)
        for frame, changed in zip(frames, found, strict=True):
            random.seed(int(seeds[0]))
            np.random.seed(int(seeds[1]))
            expected = transform(Image.fromarray(frame.permute(1, 2, 0).numpy()))
            np.testing.assert_array_equal(changed.permute(1, 2, 0).numpy(), np.asarray(expected))
