"""Four levels from backbones of fewer."""

import pytest
import torch
from torch.nn import functional

from medssm.errors import UsageError
from medssm.models import fresh_model
from medssm.models.pyramid import Pyramid


def maps(channels, strides, size=(64, 96)):
    torch.manual_seed(0)
    return [torch.randn(2, n, size[0] // s, size[1] // s) for n, s in zip(channels, strides, strict=True)]


def test_four_levels_go_through_without_entries():
    channels, strides = (2, 4, 6, 8), (4, 8, 16, 32)
    pyramid = Pyramid(channels, strides)
    given = maps(channels, strides)
    assert not pyramid.state_dict()
    assert pyramid.channels == channels
    assert all(ours is theirs for ours, theirs in zip(pyramid(given), given, strict=True))


@pytest.mark.parametrize(
    ("strides", "channels", "expected"),
    [
        ((16,), (8,), (2, 4, 8, 8)),
        ((8, 16), (8, 12), (4, 8, 12, 12)),
        ((8, 16, 32), (8, 12, 20), (4, 8, 12, 20)),
        ((4, 8), (4, 6), (4, 6, 6, 6)),
        ((32, 64), (16, 20), (2, 4, 8, 16)),
    ],
)
def test_missing_levels_are_made_at_their_size_and_width(strides, channels, expected):
    pyramid = Pyramid(channels, strides)
    levels = pyramid(maps(channels, strides))
    assert pyramid.channels == expected
    assert [tuple(level.shape) for level in levels] == [
        (2, width, 64 // stride, 96 // stride) for width, stride in zip(expected, (4, 8, 16, 32), strict=True)
    ]
    for level, stride in zip(levels, (4, 8, 16, 32), strict=True):
        if stride in strides:
            assert level is levels[(4, 8, 16, 32).index(stride)]


def test_every_layer_learns():
    pyramid = Pyramid((8,), (32,))
    sum(level.square().sum() for level in pyramid(maps((8,), (32,)))).backward()
    assert len(pyramid.state_dict()) == 2 * (3 + 2 + 1) + 2 * (2 + 1)
    assert all(parameter.grad.any() for parameter in pyramid.parameters())


def test_a_coarser_level_is_the_largest_of_its_cells():
    coarsest = maps((4,), (16,))[0]
    level = Pyramid((4,), (16,))([coarsest])[3]
    assert torch.equal(level, functional.adaptive_max_pool2d(coarsest, level.shape[2:]))


@pytest.mark.parametrize(
    ("channels", "strides"), [((3, 6), (3, 6)), ((3, 6), (4, 16)), ((3, 6), (16, 8)), ((3,), (4, 8)), ((3,), (64,))]
)
def test_strides_that_cannot_be_used_get_a_sentence(channels, strides):
    with pytest.raises(UsageError, match=r"a head needs maps at strides \(4, 8, 16, 32\)"):
        Pyramid(channels, strides)


def test_maps_of_clips_get_a_sentence():
    with pytest.raises(UsageError, match="the backbone gives 5 axes"):
        Pyramid((4,), (16,))([torch.zeros(1, 4, 4, 4, 4)])


@pytest.mark.parametrize("name", ["mamband2d-s", "mamband2d-s-16"])
def test_a_detector_stands_on_a_backbone_of_two_levels_or_one(name):
    with torch.device("meta"):
        network = fresh_model(name, head="mask-rcnn", num_classes=5)
        outputs = network(torch.empty(1, 3, 224, 224))
    assert [tuple(level.shape[2:]) for level in outputs.pyramid] == [(56, 56), (28, 28), (14, 14), (7, 7), (4, 4)]
