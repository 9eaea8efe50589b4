"""The stream of windows against MONAI's inferer, which holds all scores."""

import pytest
import torch
from monai.inferers import sliding_window_inference
from torch import Tensor
from torch.nn.functional import conv3d

from medssm.errors import DataError, UsageError
from medssm.tasks.windows import Planes, Windows, largest_class, segment_volume, stream_scores

WINDOW = (16, 12, 16)
SHAPES = [(40, 30, 36), (21, 45, 33), (17, 30, 50), (10, 7, 60), (5, 5, 5), (16, 12, 16), (17, 13, 1), (1, 40, 40)]


def small_network(classes: int = 5) -> torch.nn.Module:
    """A convolution whose scores depend on a voxel's neighbours, so that windows disagree where they overlap."""
    torch.manual_seed(3)
    network = torch.nn.Conv3d(1, classes, 5, padding=2)
    return network.requires_grad_(False)


def volume(shape: tuple[int, ...]) -> Tensor:
    return torch.rand(1, *shape, generator=torch.Generator().manual_seed(sum(shape)))


def image_planes(image: Tensor) -> Planes:
    return lambda axis, start, stop: image.narrow(axis + 1, start, stop - start)


def assert_same_labels(labels: Tensor, scores: Tensor) -> None:
    """Labels are the argmax of the scores, but for voxels where the two best scores are equal within rounding."""
    best = scores.topk(2, dim=0).values
    decided = best[0] - best[1] > 1e-5
    assert decided.float().mean() > 0.999
    assert torch.equal(labels[decided], scores.argmax(0)[decided].to(torch.uint8))


@pytest.mark.parametrize("blending", ["gaussian", "constant"])
@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5, 0.7])
@pytest.mark.parametrize("shape", SHAPES)
def test_labels_are_those_of_monai(shape: tuple[int, ...], overlap: float, blending: str) -> None:
    network, image = small_network(), volume(shape)
    expected = sliding_window_inference(image[None], WINDOW, 1, network, overlap=overlap, mode=blending)[0]
    labels = segment_volume(image, network, WINDOW, overlap, blending=blending, padding="constant")
    assert_same_labels(labels, expected)


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_finished_slabs_hold_monais_mean_scores_once_each(shape: tuple[int, int, int], batch: int) -> None:
    network, image = small_network(), volume(shape)
    expected = sliding_window_inference(image[None], WINDOW, 1, network, overlap=0.5, mode="gaussian")[0]
    windows = Windows(shape, WINDOW, 0.5)
    axis = windows.axis
    found = torch.full_like(expected, torch.nan)
    reached, done = 0, []
    for slab in stream_scores(
        image_planes(image), network, windows, padding="constant", batch=batch, advance=done.append
    ):
        assert slab.start == reached
        reached = slab.stop
        found.narrow(axis + 1, slab.start, slab.stop - slab.start).copy_(slab.scores / slab.weights)
    assert reached == shape[axis]
    assert sum(done) == len(windows)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("band", [slice(0, 20), slice(13, 31), slice(24, 45)])
def test_a_band_holds_the_same_scores_as_the_whole(band: slice) -> None:
    shape = (21, 45, 70)
    network, image = small_network(), volume(shape)
    whole, part = (Windows(shape, WINDOW, 0.5, kept) for kept in (None, band))
    expected = torch.cat(
        [(s.scores / s.weights)[:, :, band] for s in stream_scores(image_planes(image), network, whole)], 3
    )
    found = torch.cat([s.scores / s.weights for s in stream_scores(image_planes(image), network, part)], 3)
    assert (part.axis, part.band_axis) == (2, 1)
    assert len(part) < len(whole)
    torch.testing.assert_close(found, expected, atol=0, rtol=0)


def test_a_thin_volume_is_padded_with_its_edge() -> None:
    image = volume((20, 20, 3))
    repeated = image[..., [0] * 7 + [1] + [2] * 8]
    network = small_network()
    labels = segment_volume(image, network, (20, 20, 16), 0.5, blending="constant")
    assert_same_labels(labels, network(repeated[None])[0, ..., 6:9])


def test_several_channels_reach_the_network() -> None:
    image = torch.rand(3, 20, 20, 20)
    labels = segment_volume(image, lambda x: x, (16, 16, 16), 0.5)
    assert torch.equal(labels, image.argmax(0).to(torch.uint8))


@pytest.mark.parametrize(("shape", "axis"), [((30, 40, 50), 2), ((50, 40, 30), 0), ((40, 50, 30), 1), ((9, 9, 9), 0)])
def test_the_stream_runs_along_the_longest_axis(shape: tuple[int, int, int], axis: int) -> None:
    assert Windows(shape, (16, 16, 16)).axis == axis


def test_the_first_of_equal_scores_wins() -> None:
    scores = torch.tensor([[1.0, 2.0, 0.0], [1.0, 3.0, 0.0], [0.0, 3.0, 5.0]])
    labels, best = largest_class(scores)
    assert labels.tolist() == scores.argmax(0).tolist() == [0, 1, 2]
    assert best.tolist() == [1.0, 3.0, 5.0]


def test_scores_that_are_no_numbers_are_an_error() -> None:
    with pytest.raises(DataError, match="not finite"):
        segment_volume(volume((9, 9, 9)), lambda x: torch.cat([x, x * torch.nan], 1), (8, 8, 8))


def test_a_network_that_changes_the_size_is_an_error() -> None:
    with pytest.raises(DataError, match=r"scores of \(4, 4, 4\) voxels for a window of \(8, 8, 8\)"):
        segment_volume(volume((9, 9, 9)), lambda x: conv3d(x, torch.ones(2, 1, 5, 5, 5)), (8, 8, 8))


@pytest.mark.parametrize("overlap", [-0.1, 1.0])
def test_an_impossible_overlap_is_refused(overlap: float) -> None:
    with pytest.raises(UsageError, match="overlap"):
        Windows((9, 9, 9), (8, 8, 8), overlap)
