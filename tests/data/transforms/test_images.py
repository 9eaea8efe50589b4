"""Views of images whose pixels tell where they come from, so that what was done to them can be read off."""

import math
import random
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError

from medssm.data.transforms.images import ImageAugmentation, evaluation_transform, training_transform

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
NOTHING = {"rand_augment": None, "colour_jitter": 0.0, "flip": 0.0, "erasing": 0.0, "area": (1, 1), "aspect": (1, 1)}


def view(image: Image.Image, seed: int, size: tuple[int, int] = (32, 32), **settings: Any) -> torch.Tensor:
    transform = training_transform(ImageAugmentation(**settings), size, MEAN, STD)
    return transform(image, np.random.default_rng(seed))


def colours(tensor: torch.Tensor) -> np.ndarray:
    """(H, W, 3) values from 0 to 255 before normalisation."""
    scaled = tensor.permute(1, 2, 0).double() * torch.tensor(STD) + torch.tensor(MEAN)
    return (255 * scaled).numpy()


def noise(width: int = 40, height: int = 30, low: int = 40, high: int = 200) -> Image.Image:
    values = np.random.default_rng(7).integers(low, high, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values)


def map_of_places(width: int, height: int) -> Image.Image:
    """Red is the column and green the row, from 0 to 255."""
    places = np.zeros((height, width, 3), np.uint8)
    places[..., 0] = np.linspace(0, 255, width).round()[None]
    places[..., 1] = np.linspace(0, 255, height).round()[:, None]
    return Image.fromarray(places)


ALL = {"jitter_beside_rand_augment": True, "interpolation": "random", "erasing": 1.0}


def test_a_view_follows_from_its_generator_alone() -> None:
    first = view(noise(), 5, (24, 40), **ALL)
    random.seed(99)
    np.random.seed(99)
    torch.manual_seed(99)
    assert first.shape == (3, 24, 40)
    assert first.dtype == torch.float32
    assert torch.equal(first, view(noise(), 5, (24, 40), **ALL))
    assert not torch.equal(first, view(noise(), 6, (24, 40), **ALL))


def test_one_generator_goes_on_from_view_to_view() -> None:
    transform = training_transform(ImageAugmentation(), (32, 32), MEAN, STD)
    generator = np.random.default_rng(0)
    assert not torch.equal(transform(noise(), generator), transform(noise(), generator))


def drawn_globally() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(()))


@pytest.mark.parametrize("fails", [False, True])
def test_global_generators_stand_where_they_stood(fails: bool) -> None:
    for seed in (random.seed, np.random.seed, torch.manual_seed):
        seed(3)
    expected = drawn_globally()
    for seed in (random.seed, np.random.seed, torch.manual_seed):
        seed(3)
    if fails:
        with pytest.raises((TypeError, AttributeError)):
            view("no image", 0, **ALL)  # type: ignore[arg-type]
    else:
        view(noise(), 0, **ALL)
    assert drawn_globally() == expected


def test_without_any_step_the_image_is_only_normalised() -> None:
    image = noise(32, 32)
    np.testing.assert_allclose(colours(view(image, 0, **NOTHING)), np.asarray(image), atol=1e-3)


def test_crops_cover_the_published_range_of_areas_and_ratios() -> None:
    """The colours at the borders of a view say where it was cut."""
    width, height, pixels = 400, 300, 64
    areas, ratios = [], []
    for seed in range(150):
        seen = colours(view(map_of_places(width, height), seed, (pixels, pixels), **NOTHING | PUBLISHED_CROP))
        steps = [(seen[..., 0][:, -8].mean() - seen[..., 0][:, 7].mean()), (seen[-8, :, 1] - seen[7, :, 1]).mean()]
        share_x, share_y = (step / 255 * pixels / (pixels - 15) for step in steps)
        areas.append(share_x * share_y)
        ratios.append(share_x * width / (share_y * height))
    assert 0.07 < min(areas) < 0.2 < 0.8 < max(areas) < 1.02
    assert 0.73 < min(ratios) < 0.85 < 1.2 < max(ratios) < 1.36


PUBLISHED_CROP = {"area": (0.08, 1.0), "aspect": (3 / 4, 4 / 3)}


def test_half_of_the_views_are_mirrored() -> None:
    image = map_of_places(32, 32)
    mirrored = sum(colours(view(image, seed, **NOTHING | {"flip": 0.5}))[0, 0, 0] > 128 for seed in range(200))
    assert 75 < mirrored < 125


def test_random_interpolation_takes_bilinear_or_bicubic() -> None:
    taken = set()
    for seed in range(12):
        drawn = view(noise(), seed, **NOTHING | PUBLISHED_CROP | {"interpolation": "random"})
        for name in ("bilinear", "bicubic"):
            if torch.equal(drawn, view(noise(), seed, **NOTHING | PUBLISHED_CROP | {"interpolation": name})):
                taken.add(name)
                break
        else:
            pytest.fail(f"view {seed} is neither")
    assert taken == {"bilinear", "bicubic"}


def test_a_quarter_of_the_images_passes_rand_augment_untouched() -> None:
    """Two operations, each of which happens with probability 1/2 and changes this image whichever it is."""
    image = noise(32, 32)
    views = [colours(view(image, seed, **NOTHING | {"rand_augment": "rand-m9-mstd0.5-inc1"})) for seed in range(300)]
    untouched = sum(np.abs(seen - np.asarray(image)).max() < 0.1 for seen in views)
    assert 50 < untouched < 100


def test_the_strongest_posterize_keeps_no_bits() -> None:
    """At magnitude 10 it is one of 15 operations that turns the image black: in 2 * 1/2 * 1/15 of the views."""
    views = (view(noise(16, 16), seed, (16, 16), **NOTHING | {"rand_augment": "rand-m10-inc1"}) for seed in range(400))
    assert 12 < sum(colours(seen).max() < 0.1 for seen in views) < 45


def test_rand_augment_fills_with_the_mean_colour() -> None:
    """(124, 116, 104) is what all five recipes pad with."""
    white = Image.new("RGB", (32, 32), "white")
    settings = NOTHING | {"rand_augment": "rand-m9-mstd0.5-inc1", "interpolation": "bicubic"}
    corners = [tuple(colours(view(white, seed, **settings))[0, 0].round().astype(int)) for seed in range(80)]
    assert (124, 116, 104) in corners


@pytest.mark.parametrize("beside", [False, True])
def test_jitter_is_left_out_beside_rand_augment_unless_it_is_asked_for(beside: bool) -> None:
    settings = {"jitter_beside_rand_augment": beside, "erasing": 0.0}
    pairs = [[view(noise(), seed, colour_jitter=strength, **settings) for strength in (0.0, 0.4)] for seed in range(8)]
    same = [torch.equal(*pair) for pair in pairs]
    assert any(same) != beside
    assert all(same) != beside


def test_jitter_changes_brightness_by_its_share_and_keeps_grey_grey() -> None:
    """On an even grey image contrast and saturation change nothing."""
    grey = Image.new("RGB", (8, 8), (100, 100, 100))
    seen = np.array([colours(view(grey, seed, (8, 8), **NOTHING | {"colour_jitter": 0.4})) for seed in range(200)])
    np.testing.assert_allclose(seen[..., 0], seen[..., 2], atol=1e-3)
    assert 59 <= seen.min() < 65
    assert 135 < seen.max() <= 140.01


def test_a_quarter_is_erased_by_noise_of_the_published_size() -> None:
    """An image of the mean colour is zero but where it was erased."""
    mean = tuple(round(255 * value) for value in MEAN)
    image = Image.new("RGB", (64, 64), mean)
    views = [view(image, seed, (64, 64), **NOTHING | {"erasing": 0.25}) for seed in range(300)]
    boxes = [(seen.abs() > 0.02).any(0) for seen in views]
    erased = [(seen, box) for seen, box in zip(views, boxes, strict=True) if box.any()]
    assert 50 < len(erased) < 100
    shares = [float(box.double().mean()) for _, box in erased]
    assert 0.015 < min(shares) < 0.06
    assert 0.25 < max(shares) < 0.345
    values = torch.cat([seen[:, box].flatten() for seen, box in erased])
    assert abs(float(values.mean())) < 0.02
    assert abs(float(values.std()) - 1) < 0.02


def resized(image: Image.Image, size: tuple[int, int], crop_pct: float, squash: bool) -> np.ndarray:
    """The definition: Pillow's bicubic to the rounded-down size, then the middle."""
    target_h, target_w = (math.floor(side / crop_pct) for side in size)
    scale = max(target_h / image.height, target_w / image.width)
    if squash:
        width, height = target_w, target_h
    elif size[0] == size[1]:
        short, long = sorted(image.size)
        width, height = (target_w if side == short else int(target_w * long / short) for side in image.size)
    else:
        width, height = round(image.width * scale), round(image.height * scale)
    whole = np.asarray(image.resize((width, height), Image.Resampling.BICUBIC))
    top, left = round((height - size[0]) / 2), round((width - size[1]) / 2)
    return whole[top : top + size[0], left : left + size[1]]


@pytest.mark.parametrize(
    ("size", "crop_pct", "mode", "rounded"),
    [
        ((224, 224), 0.875, "center", 256),
        ((224, 224), 0.98, "center", 228),
        ((224, 224), 0.93, "center", 240),
        ((224, 224), 1.0, "center", 224),
        ((512, 512), 0.93, "squash", 550),
        ((96, 160), 0.875, "center", None),
        ((160, 96), 0.9, "squash", None),
    ],
)
@pytest.mark.parametrize("shape", [(500, 333), (200, 301)])
def test_evaluation_is_the_middle_of_the_resized_image(
    size: tuple[int, int], crop_pct: float, mode: Any, rounded: int | None, shape: tuple[int, int]
) -> None:
    assert rounded in (None, math.floor(size[0] / crop_pct))
    image = noise(*shape).resize(shape)
    transform = evaluation_transform(size, crop_pct, mode, "bicubic", MEAN, STD)
    seen = transform(image)
    assert (seen.shape, seen.dtype) == ((3, *size), torch.float32)
    np.testing.assert_allclose(colours(seen), resized(image, size, crop_pct, mode == "squash"), atol=1e-3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rand_augment": "rand-q9"}, "no RandAugment as timm spells it"),
        ({"rand_augment": "rand-m9-inc"}, "no RandAugment as timm spells it"),
        ({"rand_augment": "augmix-m3"}, "no RandAugment as timm spells it"),
        ({"area": (1.0, 0.08)}, "the smallest must come first"),
        ({"area": (0.0, 1.0)}, "greater than 0"),
        ({"erasing": 1.5}, "less than or equal to 1"),
        ({"color_jitter": 0.4}, "Extra inputs"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ImageAugmentation(**settings)
