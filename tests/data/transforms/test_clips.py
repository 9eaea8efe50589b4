"""Random views of clips: what is random is the same in every frame, and follows from the generator alone."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from medssm.data.transforms.clips import ClipAugmentation, augment_clip, resized_frame
from medssm.data.transforms.rand_augment import RandAugmentSettings

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PLAIN: dict[str, Any] = {"area": (1.0, 1.0), "aspect": (1.0, 1.0), "flip": 0.0, "erasing": 0.0}
TIMM = RandAugmentSettings(operations="timm", probability=1.0)
PYTORCHVIDEO = RandAugmentSettings(operations="pytorchvideo", probability=1.0)


def frames(height: int = 40, width: int = 56, count: int = 5) -> Tensor:
    """Random pictures, of which all are the same."""
    generator = torch.Generator().manual_seed(0)
    picture = torch.randint(256, (3, height // 8, width // 8), generator=generator, dtype=torch.uint8)
    return picture.repeat_interleave(8, 1).repeat_interleave(8, 2).expand(count, -1, -1, -1).clone()


def view(seed: int, clip: Tensor | None = None, size: tuple[int, int] = (24, 32), **changes: Any) -> Tensor:
    """A random view, its colours from 0 to 1."""
    clip = frames() if clip is None else clip
    augmented = augment_clip(clip, ClipAugmentation(**changes), size, MEAN, STD, np.random.default_rng(seed))
    return augmented * torch.tensor(STD).view(3, 1, 1, 1) + torch.tensor(MEAN).view(3, 1, 1, 1)


@pytest.mark.parametrize("augment", [None, TIMM, PYTORCHVIDEO])
def test_every_frame_is_changed_alike(augment: RandAugmentSettings | None) -> None:
    for seed in range(12):
        found = view(seed, rand_augment=augment, erasing=0.0)
        assert found.shape == (3, 5, 24, 32)
        torch.testing.assert_close(found, found[:, :1].expand_as(found), msg=str(seed))


@pytest.mark.parametrize("augment", [TIMM, PYTORCHVIDEO])
def test_a_view_follows_from_the_generator_and_leaves_the_global_ones_alone(augment: RandAugmentSettings) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, again, other = (view(seed, rand_augment=augment, erasing=1.0) for seed in (1, 1, 2))
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_without_random_steps_the_clip_is_only_normalised() -> None:
    clip = torch.randint(256, (4, 3, 24, 24), dtype=torch.uint8)
    found = augment_clip(clip, ClipAugmentation(**PLAIN), (24, 24), MEAN, STD, np.random.default_rng(0))
    expected = (clip.numpy().transpose(1, 0, 2, 3) / 255 - np.reshape(MEAN, (3, 1, 1, 1))) / np.reshape(
        STD, (3, 1, 1, 1)
    )
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-5)


def test_half_of_the_clips_are_mirrored_left_and_right() -> None:
    clip = frames(24, 24)
    settings = {**PLAIN, "flip": 0.5}
    plain = view(0, clip, (24, 24), **PLAIN)
    views = [view(seed, clip, (24, 24), **settings) for seed in range(60)]
    mirrored = [torch.equal(found, plain.flip(3)) for found in views]
    assert all(is_mirrored or torch.equal(found, plain) for found, is_mirrored in zip(views, mirrored, strict=True))
    assert 18 <= sum(mirrored) <= 42


def test_crops_cover_the_area_that_is_asked_for() -> None:
    """A ramp along each axis tells where a crop begins and ends."""
    ramp = torch.stack(torch.meshgrid(torch.arange(200.0), torch.arange(200.0), indexing="ij"))
    clip = torch.cat([ramp, torch.zeros(1, 200, 200)]).to(torch.uint8).expand(2, -1, -1, -1)
    areas = []
    for seed in range(100):
        found = view(seed, clip, (50, 50), area=(0.08, 1.0), flip=0.0, erasing=0.0)[:2, 0] * 255
        height, width = (float(axis.amax() - axis.amin()) * 50 / 49 / 200 for axis in found)
        areas.append(height * width)
        assert 0.7 < width / height < 1.4
    assert 0.06 < min(areas) < 0.2
    assert 0.8 < max(areas) < 1.05


@pytest.mark.parametrize("values", ["uniform", "normal"])
def test_the_same_box_of_all_frames_is_filled_anew(values: str) -> None:
    clip = torch.full((6, 3, 40, 40), 128, dtype=torch.uint8)
    settings = {**PLAIN, "erasing": 1.0, "erasing_values": values}
    shares = []
    for seed in range(30):
        found = view(seed, clip, (40, 40), **settings)
        is_erased = (found - 128 / 255).abs() > 1e-5
        boxes = is_erased.any(0)
        assert torch.equal(boxes, boxes[:1].expand_as(boxes))
        rows, columns = boxes[0].any(1).nonzero(), boxes[0].any(0).nonzero()
        assert boxes[0].sum() == len(rows) * len(columns)
        shares.append(float(boxes[0].float().mean()))
        inside = found[:, :, boxes[0]]
        assert not torch.equal(inside[:, 0], inside[:, 1])
        if values == "uniform":
            assert 0 <= inside.min() < 0.1
            assert 0.9 < inside.max() <= 1
    assert 0.015 < min(shares) < max(shares) < 0.36


def test_erasing_happens_as_often_as_asked() -> None:
    clip = torch.full((1, 3, 20, 20), 128, dtype=torch.uint8)
    settings = {**PLAIN, "erasing": 0.25}
    erased = sum(bool((view(seed, clip, (20, 20), **settings) - 128 / 255).abs().max() > 1e-3) for seed in range(200))
    assert 30 <= erased <= 70


def test_the_shorter_side_is_resized() -> None:
    assert resized_frame(torch.zeros(3, 60, 90, dtype=torch.uint8), 20).shape == (3, 20, 30)
    assert resized_frame(torch.zeros(3, 90, 60, dtype=torch.uint8), 20).shape == (3, 30, 20)
    assert resized_frame(torch.zeros(3, 9, 6, dtype=torch.uint8), None).shape == (3, 9, 6)
