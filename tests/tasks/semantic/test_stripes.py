"""Stripes of scores, put together, against the scores of all pixels at once by torch."""

from collections.abc import Callable, Iterable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medssm.errors import UsageError
from medssm.tasks.semantic.stripes import Sliding, Stretch, Stripe, sliding_stripes, whole_stripes

CLASSES = 5


@pytest.fixture(scope="module")
def network() -> Callable[[Tensor], Tensor]:
    """Scores that depend on a pixel's neighbours, so that windows differ at their edges."""
    convolution = nn.Conv2d(3, CLASSES, 5, padding=2)
    generator = torch.Generator().manual_seed(0)
    for parameter in convolution.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator)
    return torch.no_grad()(convolution)


def image(height: int, width: int) -> Tensor:
    return torch.randn(3, height, width, generator=torch.Generator().manual_seed(1))


def put_together(stripes: Iterable[Stripe], size: tuple[int, int]) -> Tensor:
    """(K, H, W), each pixel from exactly one stripe."""
    scores, seen = torch.zeros(CLASSES, *size), torch.zeros(size)
    for rows, columns, part in stripes:
        scores[:, rows, columns] = part
        seen[rows, columns] += 1
    assert torch.all(seen == 1)
    return scores


def slid(x: Tensor, network: Callable[[Tensor], Tensor], window: tuple[int, int], step: tuple[int, int]) -> Tensor:
    """MMSegmentation's way: all scores and counts of the whole image, windows moved back inside at its edges."""
    height, width = x.shape[1:]
    sums, counts = torch.zeros(CLASSES, height, width), torch.zeros(height, width)
    for row in range(-(-max(height - window[0], 0) // step[0]) + 1):
        for column in range(-(-max(width - window[1], 0) // step[1]) + 1):
            bottom, right = min(row * step[0] + window[0], height), min(column * step[1] + window[1], width)
            rows, columns = slice(max(bottom - window[0], 0), bottom), slice(max(right - window[1], 0), right)
            sums[:, rows, columns] += network(x[None, :, rows, columns])[0]
            counts[rows, columns] += 1
    return sums / counts


def stretched(scores: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(scores[None], size, mode="bilinear", align_corners=False)[0]


SIZES = [((23, 31), (23, 31)), ((23, 31), (40, 57)), ((23, 31), (9, 8)), ((40, 12), (80, 50)), ((7, 50), (7, 20))]


@pytest.mark.parametrize(("seen", "size"), SIZES)
def test_a_whole_image_gives_the_scores_of_torch(
    network: Callable[[Tensor], Tensor], seen: tuple[int, int], size: tuple[int, int]
) -> None:
    x = image(*seen)
    found = put_together(whole_stripes(x, network, size), size)
    torch.testing.assert_close(found, stretched(network(x[None])[0], size), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("seen", "size"), SIZES)
@pytest.mark.parametrize(
    ("window", "step"), [((8, 8), (5, 5)), ((9, 12), (9, 12)), ((64, 8), (48, 6)), ((64, 64), (9, 9))]
)
@pytest.mark.parametrize("ring_bytes", [10**9, 2000])
def test_windows_give_the_mean_scores_of_all_windows(
    network: Callable[[Tensor], Tensor],
    seen: tuple[int, int],
    size: tuple[int, int],
    window: tuple[int, int],
    step: tuple[int, int],
    ring_bytes: int,
) -> None:
    """In one band, and in so many that each is a few pixels wide."""
    x = image(*seen)
    stripes = sliding_stripes(
        lambda rows, columns: x[:, rows, columns], seen, network, Sliding(window, step), size, CLASSES, ring_bytes
    )
    expected = stretched(slid(x, network, window, step), size)
    torch.testing.assert_close(put_together(stripes, size), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("window", "step"), [((8, 8), (0, 0)), ((8, 8), (9, 9)), ((8, 8), (4, 8))])
def test_impossible_steps_are_explained(window: tuple[int, int], step: tuple[int, int]) -> None:
    with pytest.raises(UsageError, match="no longer than the window, and the same share of it both ways"):
        Sliding(window, step).on((20, 20))


@pytest.mark.parametrize(("length", "size"), [(7, 7), (7, 19), (19, 7), (1, 5), (5, 1)])
def test_outputs_are_complete_when_their_pixels_are_known(length: int, size: int) -> None:
    stretch = Stretch(length, size)
    for known in range(1, length + 1):
        complete = stretch.complete(known)
        assert all(stretch.needs(slice(out, out + 1)).stop <= known for out in range(complete))
        assert complete == size or stretch.needs(slice(complete, complete + 1)).stop > known
