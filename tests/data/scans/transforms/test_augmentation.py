from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.transforms import RandCropByPosNegLabel

from medssm.data.scans.cache import CachedCase
from medssm.data.scans.transforms.augmentation import Augmentation, random_crops
from medssm.data.scans.transforms.candidates import crop_candidates
from medssm.data.scans.transforms.crop import crop_padded
from medssm.data.scans.transforms.flip import RandPairedFlipd, swap_pairs
from medssm.data.scans.transforms.settings import (
    AffineSettings,
    AugmentationSettings,
    CropSettings,
    FlipSettings,
    IntensitySettings,
    QuarterTurnSettings,
    ThinSettings,
)
from medssm.data.scans.transforms.thin import repeat_edges
from medssm.errors import DataError

# Right and left kidney, right and left adrenal gland.
PAIRS = ((2, 3), (12, 13))
STILL = {
    "flips": FlipSettings(probability=0),
    "quarter_turns": QuarterTurnSettings(probability=0),
    "intensity": IntensitySettings(scale_probability=0, shift_probability=0),
}


def a_case(shape: tuple[int, int, int] = (24, 20, 22)) -> CachedCase:
    """Organ 2 a large box, organ 12 a single voxel, every image voxel different."""
    image = torch.linspace(0.01, 1, int(np.prod(shape))).reshape(1, *shape)
    label = torch.zeros(shape, dtype=torch.uint8)
    label[2:12, 3:13, :10] = 2
    label[-3, -4, -2] = 12
    return CachedCase("case", image, label, np.eye(4), crop_candidates(image[0] > 0, label))


@pytest.mark.parametrize("centres", ["as-published", "organs"])
@pytest.mark.parametrize("shape", [(24, 20, 22), (24, 20, 3), (5, 6, 7)])
def test_crops_have_the_size_asked_for(centres: str, shape: tuple[int, int, int]) -> None:
    shape_case = a_case(shape) if min(shape) > 5 else a_thin_case(shape)
    settings = AugmentationSettings(crops=CropSettings(size=(8, 8, 8), count=3, centres=centres))
    images, labels = Augmentation(settings)(shape_case, 1)
    assert images.shape == (3, 1, 8, 8, 8)
    assert labels.shape == (3, 8, 8, 8)
    assert images.dtype == torch.float32
    assert labels.dtype == torch.uint8


def a_thin_case(shape: tuple[int, int, int]) -> CachedCase:
    image, label = torch.rand(1, *shape), torch.ones(shape, dtype=torch.uint8)
    return CachedCase("thin", image, label, np.eye(4), crop_candidates(image[0] > 0, label))


def test_the_seed_decides_everything() -> None:
    settings = AugmentationSettings(
        crops=CropSettings(size=(8, 8, 8)), affine=AffineSettings(probability=0.5), thin=ThinSettings(probability=0.5)
    )
    augment, case = Augmentation(settings, PAIRS), a_case()
    first = augment(case, (7, 3, 1))
    torch.rand(5), np.random.rand(5), augment(case, 9)
    for again in (augment(case, (7, 3, 1)), Augmentation(settings, PAIRS)(case, (7, 3, 1))):
        assert torch.equal(first[0], again[0])
        assert torch.equal(first[1], again[1])
    assert not torch.equal(first[0], augment(case, (7, 3, 2))[0])


def test_crops_of_one_step_are_changed_independently() -> None:
    settings = AugmentationSettings(crops=CropSettings(size=(20, 20, 22), count=40))
    images, _ = Augmentation(settings)(a_case(), 5)
    assert len({tuple(image.flatten()[[0, -1, 100]].tolist()) for image in images}) > 10


def test_published_crops_are_those_of_monai() -> None:
    case = a_case()
    label = (case.label == 2).to(torch.uint8)
    case = CachedCase("one organ", case.image, label, np.eye(4), crop_candidates(case.image[0] > 0, label))
    monai = RandCropByPosNegLabel((8, 8, 8), num_samples=20, image=case.image).set_random_state(seed=11)
    expected = monai(case.image, label=label[None])
    crops = random_crops(case, CropSettings(size=(8, 8, 8), count=20), 11)
    for ours, theirs in zip(crops, expected, strict=True):
        assert torch.equal(ours["image"], theirs)


def test_published_steps_have_their_probabilities() -> None:
    case = a_thin_case((6, 6, 6))
    case = CachedCase("cube", torch.arange(216.0).reshape(1, 6, 6, 6) / 216, case.label, np.eye(4), case.candidates)
    settings = AugmentationSettings(crops=CropSettings(size=(6, 6, 6), count=1000))
    images, _ = Augmentation(settings)(case, 0)
    geometry = Counter(_step_of(image[0]) for image in images)
    unchanged = 0.8**3 * 0.8
    # (1 - 0.2)^4 of the crops are neither flipped nor turned; half-turns made of two flips add to that.
    also = 0.8 * 0.2 * 0.2 * 0.2 / 3
    assert abs(geometry[True] / 1000 - (unchanged + also)) < 0.05
    spread = (images.amax(dim=(1, 2, 3, 4)) - images.amin(dim=(1, 2, 3, 4))) / (215 / 216)
    assert abs((spread.sub(1).abs() > 1e-4).float().mean().item() - 0.1) < 0.04
    assert spread.min() > 0.9 - 1e-4
    assert spread.max() < 1.1 + 1e-4


def _step_of(image: torch.Tensor) -> bool:
    """Whether the voxels still ascend in memory order, whatever was done to their values."""
    return bool((image.flatten().diff() > 0).all())


def test_organs_are_chosen_evenly() -> None:
    settings = CropSettings(size=(3, 3, 3), count=400, centres="organs", jitter=0)
    crops = random_crops(a_case(), settings, 3)
    small = sum(bool((crop["label"] == 12).any()) for crop in crops)
    assert 160 < small < 240


def test_a_share_of_the_crops_is_around_background() -> None:
    settings = CropSettings(size=(1, 1, 1), count=400, centres="organs", background=0.25, jitter=0)
    crops = random_crops(a_case(), settings, 3)
    assert 70 < sum(int(crop["label"].sum()) == 0 for crop in crops) < 130


def test_jitter_reaches_a_quarter_of_the_window_and_no_further() -> None:
    case = a_case((40, 40, 40))
    label = torch.zeros_like(case.label)
    label[20, 20, 20] = 1
    case = CachedCase("one", case.image, label, np.eye(4), crop_candidates(case.image[0] > 0, label))
    crops = random_crops(case, CropSettings(size=(12, 12, 12), count=200, centres="organs"), 0)
    offsets = np.array([np.argwhere(crop["label"][0].numpy())[0] for crop in crops]) - 6
    assert abs(offsets).max() == 3
    assert offsets.min() == -3


def test_a_case_without_labels_cannot_be_trained_on() -> None:
    case = CachedCase("bare", torch.rand(1, 8, 8, 8), None, np.eye(4), None)
    with pytest.raises(DataError, match="bare: has no label map"):
        Augmentation(AugmentationSettings())(case, 0)


def test_a_case_of_air_is_said_in_a_sentence() -> None:
    image, label = torch.zeros(1, 8, 8, 8), torch.zeros(8, 8, 8, dtype=torch.uint8)
    case = CachedCase("air", image, label, np.eye(4), crop_candidates(image[0] > 0, label))
    with pytest.raises(DataError, match="air: holds nothing but air"):
        Augmentation(AugmentationSettings())(case, 0)


def test_quarter_turns_of_oblong_crops_are_refused() -> None:
    with pytest.raises(ValueError, match="quarter turns need crops as long along x as along y, found 8 and 9"):
        AugmentationSettings(crops=CropSettings(size=(8, 9, 8)))


def test_flips_swap_pairs_only_along_x_and_only_when_asked() -> None:
    label = torch.zeros(1, 4, 4, 4, dtype=torch.uint8)
    label[0, 0, 1, 2] = 3
    sample = {"image": torch.rand(1, 4, 4, 4), "label": label}
    for axis in range(3):
        for mode, value in (("as-published", 3), ("swap", 2 if axis == 0 else 3)):
            flipped = RandPairedFlipd(axis, mode, PAIRS, prob=1.0)(sample)
            expected = np.flip(label.numpy(), axis + 1) * (value / 3)
            np.testing.assert_array_equal(flipped["label"].numpy(), expected)
            np.testing.assert_array_equal(flipped["image"].numpy(), np.flip(sample["image"].numpy(), axis + 1))
        off = RandPairedFlipd(axis, "off", PAIRS, prob=1.0)(sample)
        assert torch.equal(off["image"], sample["image"])


def test_swapping_pairs_twice_gives_the_labels_back() -> None:
    labels = torch.arange(14, dtype=torch.uint8)
    swapped = swap_pairs(labels, PAIRS)
    assert swapped.tolist() == [0, 1, 3, 2, 4, 5, 6, 7, 8, 9, 10, 11, 13, 12]
    assert torch.equal(swap_pairs(swapped, PAIRS), labels)


def test_thin_volumes_are_padded_with_their_edge_or_air() -> None:
    volume = torch.arange(1.0, 4).reshape(1, 1, 1, 3)
    assert crop_padded(volume, (0, 0, 1), (1, 1, 6), "edge").flatten().tolist() == [1, 1, 2, 3, 3, 3]
    assert crop_padded(volume, (0, 0, 1), (1, 1, 6), "zero").flatten().tolist() == [0, 1, 2, 3, 0, 0]


def test_thinned_crops_keep_their_middle_slices() -> None:
    volume = torch.arange(7.0).expand(1, 2, 2, 7)
    assert repeat_edges(volume, 2, 3)[0, 0, 0].tolist() == [2, 2, 2, 3, 4, 4, 4]
    settings = AugmentationSettings(
        crops=CropSettings(size=(8, 8, 16), count=20), thin=ThinSettings(probability=1, slices=2), **STILL
    )
    images, labels = Augmentation(settings)(a_case(), 0)
    kept = [len({tuple(s.flatten().tolist()) for s in image[0].unbind(-1)}) for image in images]
    assert 2 <= min(kept) < max(kept) <= 16
    assert labels.shape == (20, 8, 8, 16)


def test_small_affine_changes_image_and_label_together() -> None:
    label = torch.zeros(20, 20, 20, dtype=torch.uint8)
    label[4:16, 6:14, 7:13] = 1
    case = CachedCase("box", label[None].float() * 0.9 + 0.05, label, np.eye(4), crop_candidates(label > 0, label))
    settings = AugmentationSettings(
        crops=CropSettings(size=(20, 20, 20), count=4), affine=AffineSettings(probability=1, degrees=20), **STILL
    )
    images, labels = Augmentation(settings)(case, 2)
    for image, moved in zip(images[:, 0], labels, strict=True):
        assert not torch.equal(moved, label)
        # Nearest and linear interpolation of one shape agree where the linear one passes its middle value.
        assert ((image > 0.5) != (moved > 0)).float().mean() < 0.02


def test_the_cached_case_itself_is_never_changed(tmp_path: Path) -> None:
    case = a_case()
    before = case.image.clone(), case.label.clone()
    settings = AugmentationSettings(crops=CropSettings(size=(20, 20, 22), count=30))
    Augmentation(settings)(case, 0)
    assert torch.equal(case.image, before[0])
    assert torch.equal(case.label, before[1])
