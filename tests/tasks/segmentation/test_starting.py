"""What a network takes over from weights for other classes or channels."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from medssm.checkpoints import WeightsMetadata, create_model
from medssm.errors import CheckpointError
from medssm.tasks.segmentation.starting import Start, take_over

NAME = "mamband-xs"
OLD = {1: "Left Kidney", 2: "spleen"}


def weights(channels: tuple[str, ...] = ("CT",), **arguments: Any) -> tuple[Mapping[str, Tensor], WeightsMetadata]:
    torch.manual_seed(1)
    network = create_model(NAME, num_classes=3, in_channels=len(channels), arguments=arguments)
    said = [{"name": name, "normalisation": {"kind": "zscore"}} for name in channels]
    metadata = WeightsMetadata(
        model=NAME,
        num_classes=3,
        in_channels=len(channels),
        class_names=OLD,
        preprocessing={"channels": said},
        input_size=(16, 16, 16),
        arguments=arguments,
    )
    return network.state_dict(), metadata


def started(
    names: dict[int, str], channels: tuple[str, ...] = ("CT",), stored: tuple[str, ...] = ("CT",)
) -> tuple[nn.Module, Mapping[str, Tensor], list[str]]:
    state, metadata = weights(stored)
    torch.manual_seed(2)
    model = create_model(NAME, num_classes=max(names) + 1, in_channels=len(channels))
    start = Start.of(metadata, names, channels)
    take_over(model, NAME, state, metadata, start, "runs/old")
    return model, state, start.news("runs/old")


def of_classes(state: Mapping[str, Tensor]) -> list[str]:
    """Entries in which a network for more classes differs."""
    more = create_model(NAME, num_classes=9).state_dict()
    return [entry for entry, tensor in state.items() if more[entry].shape != tensor.shape]


def test_a_class_keeps_its_weights_wherever_its_name_comes_to_stand() -> None:
    model, state, news = started({1: "spleen", 2: "gallbladder", 3: "kidney_left"})
    own, entries = model.state_dict(), of_classes(state)
    assert entries
    assert all(torch.equal(own[entry], tensor) for entry, tensor in state.items() if entry not in entries)
    for entry in entries:
        axis = next(a for a, (n, o) in enumerate(zip(own[entry].shape, state[entry].shape, strict=True)) if n != o)
        for new, old in ((0, 0), (1, 2), (3, 1)):
            assert torch.equal(own[entry].select(axis, new), state[entry].select(axis, old))
    assert news == [
        "the network starts from weights: runs/old; of the classes it knows spleen, kidney_left",
        "fresh in its last layer: gallbladder",
    ]


def test_the_same_classes_give_the_same_network() -> None:
    model, state, news = started(OLD)
    assert all(torch.equal(tensor, state[entry]) for entry, tensor in model.state_dict().items())
    assert len(news) == 1


def stem(state: Mapping[str, Tensor]) -> Tensor:
    return state["vit.patch_embed.projection.weight"]


def test_a_channel_that_is_not_known_begins_as_the_mean_of_the_others() -> None:
    model, state, news = started(OLD, ("T2", "T1", "FLAIR"), ("T1", "T2"))
    expected = torch.stack([stem(state)[:, 1], stem(state)[:, 0], stem(state).mean(1)], 1) * 2 / 3
    torch.testing.assert_close(stem(model.state_dict()), expected)
    assert news[-1] == "channels that the weights do not know begin as the mean of theirs: FLAIR"


def test_channels_in_another_order_are_exchanged() -> None:
    model, state, _ = started(OLD, ("T2", "T1"), ("T1", "T2"))
    assert torch.equal(stem(model.state_dict()), stem(state).flip(1))


def test_one_channel_is_the_same_however_it_is_called() -> None:
    model, state, _ = started(OLD, ("T2w MRI",))
    assert torch.equal(stem(model.state_dict()), stem(state))


def test_weights_of_another_layout_are_refused() -> None:
    state, metadata = weights(patch_size=(8, 8, 4))
    start = Start.of(metadata, OLD, ("CT",))
    with pytest.raises(CheckpointError, match=r"runs/old: .*; give the recipe the model and the model\.arguments"):
        take_over(create_model(NAME, num_classes=3), NAME, state, metadata, start, "runs/old")
