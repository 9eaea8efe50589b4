"""Mixing images each of one value, so that the share of each in a mixture can be read off its pixels."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from medssm.data.transforms.mixing import MixingSettings, mix
from medssm.errors import UsageError

CLASSES = 5
LABELS = torch.tensor([3, 0, 4, 1])
SIZE = 20


def images() -> Tensor:
    """(4, 3, 20, 20): image i is 2**i everywhere."""
    return (2.0 ** torch.arange(4))[:, None, None, None].expand(4, 3, SIZE, SIZE).clone()


def mixed(seed: int, **settings: Any) -> tuple[Tensor, Tensor]:
    return mix(images(), LABELS, CLASSES, MixingSettings(**settings), np.random.default_rng(seed))


def own_share(mixture: Tensor) -> Tensor:
    """(4,): how much of each image is itself and not its partner, the one at the same place from the end."""
    own, partner = images().mean((1, 2, 3)), images().flip(0).mean((1, 2, 3))
    return (mixture.mean((1, 2, 3)) - partner) / (own - partner)


def expected_targets(shares: Tensor, smoothing: float) -> Tensor:
    hard = torch.nn.functional.one_hot(LABELS, CLASSES).double()
    smooth = hard * (1 - smoothing) + smoothing / CLASSES
    return shares[:, None] * smooth + (1 - shares[:, None]) * smooth.flip(0)


@pytest.mark.parametrize("mode", ["batch", "pair", "elem"])
@pytest.mark.parametrize(("mixup", "cutmix"), [(0.8, 0.0), (0.0, 1.0), (0.8, 1.0)])
def test_targets_are_mixed_as_the_pixels_are(mode: str, mixup: float, cutmix: float) -> None:
    """For CutMix that is the box as it is clipped at the border, and it is counted in pixels."""
    for seed in range(30):
        mixture, targets = mixed(seed, mode=mode, mixup=mixup, cutmix=cutmix)
        shares = own_share(mixture.double())
        torch.testing.assert_close(targets.double(), expected_targets(shares, 0.1), atol=1e-5, rtol=0)
        torch.testing.assert_close(targets.sum(1), torch.ones(4))
        assert float(shares.max() - shares.min()) < 1e-5 or mode != "batch"


def is_cut(mixture: Tensor) -> bool:
    """Whether every pixel is of one of the images, though not all are of the same."""
    first = mixture[0]
    return set(first.unique().tolist()) == {1.0, 8.0}


def is_blended(mixture: Tensor) -> bool:
    return len(mixture[0].unique()) == 1 and 1.0 < float(mixture[0, 0, 0, 0]) < 8.0


def test_both_kinds_happen_equally_often_and_always_one() -> None:
    mixtures = [mixed(seed)[0] for seed in range(300)]
    cut, blended = (sum(map(kind, mixtures)) for kind in (is_cut, is_blended))
    assert 110 < cut < 190
    assert cut + blended > 270  # the rest drew a box of no pixel, or all of them


def test_shares_of_mixup_are_beta() -> None:
    """Beta(0.8, 0.8) has mean 1/2 and variance 1 / (4 * 2.6)."""
    shares = np.array([float(own_share(mixed(seed, cutmix=0)[0].double())[0]) for seed in range(500)])
    assert abs(shares.mean() - 0.5) < 0.05
    assert abs(shares.var() - 1 / 10.4) < 0.012


def test_some_batches_are_left_alone_where_the_probability_says_so() -> None:
    untouched = sum(torch.equal(mixed(seed, probability=0.3)[0], images()) for seed in range(200))
    assert 115 < untouched < 165


@pytest.mark.parametrize("settings", [{"mixup": 0, "cutmix": 0}, {"probability": 0}])
def test_without_mixing_the_labels_are_only_smoothed(settings: dict[str, float]) -> None:
    mixture, targets = mixed(0, **settings)
    assert torch.equal(mixture, images())
    expected = torch.full((4, CLASSES), 0.02)
    expected[range(4), LABELS] = 0.92
    torch.testing.assert_close(targets, expected)


def test_everything_follows_from_the_generator() -> None:
    first = mixed(4)
    torch.manual_seed(0)
    np.random.seed(0)
    state = np.random.get_state()[1].copy()
    again = mixed(4)
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[0], mixed(5)[0])
    np.testing.assert_array_equal(np.random.get_state()[1], state)


def test_the_images_that_came_in_are_left_as_they_are() -> None:
    batch = images()
    mix(batch, LABELS, CLASSES, MixingSettings(), np.random.default_rng(0))
    assert torch.equal(batch, images())


def test_an_odd_batch_is_refused() -> None:
    with pytest.raises(UsageError, match="needs an even batch size, found 3"):
        mix(images()[:3], LABELS[:3], CLASSES, MixingSettings(), np.random.default_rng(0))


def test_bfloat16_images_stay_bfloat16_and_their_targets_float32() -> None:
    mixture, targets = mix(images().bfloat16(), LABELS, CLASSES, MixingSettings(), np.random.default_rng(0))
    assert (mixture.dtype, targets.dtype) == (torch.bfloat16, torch.float32)
    torch.testing.assert_close(targets.sum(1), torch.ones(4))
