"""Heads that are smaller than the published ones."""

import pytest
import torch

from medssm.errors import UsageError
from medssm.models import fresh_model
from medssm.models.detection import MASK_RCNN
from medssm.models.head_settings import adjusted


def test_numbers_are_replaced_by_name():
    changed = adjusted(MASK_RCNN, {"neck_channels": 64, "roi_sampling.count": 32, "roi_sampling.positive_share": 0.5})
    assert (changed.neck_channels, changed.roi_sampling.count, changed.roi_sampling.positive_share) == (64, 32, 0.5)
    assert changed.roi_sampling.adds_objects
    assert changed.box_features == MASK_RCNN.box_features


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("neck_chanels", 64, "there is no 'neck_chanels'"),
        ("roi_sampling.amount", 64, "there are count, positive_share, adds_objects"),
        ("roi_sampling", 64, "no single number"),
        ("neck_channels.count", 64, "no single number"),
        ("neck_channels", 6.5, "must be a whole number of 0 or more, found 6.5"),
        ("roi_sampling.positive_share", -1, "must be a number of 0 or more, found -1"),
        ("roi_sampling.positive_share", float("nan"), "must be a number of 0 or more, found nan"),
        ("neck_channels", 10**40, "the most is 1000000"),
        ("box_loss", 1, "no single number"),
    ],
)
def test_a_wrong_name_or_number_is_one_sentence(key, value, message):
    with pytest.raises(UsageError, match=message):
        adjusted(MASK_RCNN, {key: value})


@pytest.mark.parametrize("head", ["mask-rcnn", "cascade-mask-rcnn"])
def test_a_network_is_built_of_them(head):
    with torch.device("meta"):
        network = fresh_model("spatialmamba-xs", head=head, num_classes=5, head_settings={"neck_channels": 32})
    assert {tuple(conv.conv.weight.shape[:1]) for conv in network.neck.fpn_convs} == {(32,)}


def test_a_narrower_upernet_is_built():
    with torch.device("meta"):
        network = fresh_model("spatialmamba-xs", head="upernet", head_settings={"channels": 48})
    assert network.decode_head.conv_seg.weight.shape[1] == 48
    assert network.decode_head.fpn_bottleneck.conv.weight.shape[:2] == (48, 4 * 48)
    assert network.auxiliary_head.conv_seg.weight.shape[1] == 256


def test_upernet_has_no_number_of_a_detector():
    with pytest.raises(UsageError, match="there is no 'neck_channels'; at this place there are channels, auxiliary"):
        fresh_model("spatialmamba-xs", head="upernet", head_settings={"neck_channels": 32})
