"""A network for scans that starts from another one's weights: for other classes, and for other channels."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from medssm.checkpoints import WeightsMetadata
from medssm.checkpoints.recognition import expected_shapes
from medssm.data.scans.organ_masks import folded
from medssm.data.scans.preprocessing import Preprocessing
from medssm.errors import CheckpointError, one_line
from medssm.models.arguments import frozen_arguments

# New place -> place in the weights that are taken over; None for what they do not have.
Places = Sequence[int | None]


@dataclass(frozen=True)
class Start:
    """What a network takes over from weights.

    Attributes:
        classes, channels: for each of the network's, which of the weights' it is by its name.
        names: label value -> name of the network's organs. channel_names: of its channels.
    """

    classes: Places
    channels: Places
    names: Mapping[int, str]
    channel_names: Sequence[str]

    @classmethod
    def of(cls, metadata: WeightsMetadata, names: Mapping[int, str], channel_names: Sequence[str]) -> "Start":
        """By the names of classes and channels, whatever their spelling; the background is the background.

        Two networks of one channel have the same one, however the datasets call it.
        """
        theirs = {folded(name): label for label, name in metadata.class_names.items() if label}
        count = max(names, default=0) + 1
        classes = [0, *(theirs.get(folded(names[k])) if k in names else None for k in range(1, count))]
        stored = Preprocessing(**metadata.preprocessing).channel_names
        if len(stored) == len(channel_names) == 1:
            return cls(classes, [0], names, channel_names)
        places = {folded(name): place for place, name in enumerate(stored)}
        return cls(classes, [places.get(folded(name)) for name in channel_names], names, channel_names)

    def news(self, source: str) -> list[str]:
        """What a user should know of it, a sentence each."""
        fresh = [name for label, name in self.names.items() if self.classes[label] is None]
        kept = [name for label, name in self.names.items() if self.classes[label] is not None]
        shown = one_line(", ".join(kept) or "the background alone", 100)
        said = [f"the network starts from weights: {source}; of the classes it knows {shown}"]
        if fresh:
            said.append(f"fresh in its last layer: {one_line(', '.join(fresh), 100)}")
        unknown = [name for name, place in zip(self.channel_names, self.channels, strict=True) if place is None]
        if unknown:
            said.append(f"channels that the weights do not know begin as the mean of theirs: {', '.join(unknown)}")
        return said


def take_over(
    model: nn.Module, name: str, state: Mapping[str, Tensor], metadata: WeightsMetadata, start: Start, source: str
) -> None:
    """Puts the weights into a fresh network: its last layer by the classes, its first by the channels.

    Raises: CheckpointError if the two are laid out differently otherwise.
    """
    axes = _axes(name, metadata)
    own = model.state_dict()
    taken = {}
    for entry, fresh in own.items():
        stored = state.get(entry)
        if stored is None:
            raise CheckpointError(f"{source}: has no entry {entry} of {name}; start from weights of the same network")
        by_class, by_channel = axes[entry]
        if by_channel is not None:
            stored = _by_channel(stored, by_channel, start.channels)
        if by_class is not None:
            stored = _by_class(stored, fresh, by_class, start.classes)
        if stored.shape != fresh.shape:
            raise CheckpointError(
                f"{source}: its {entry} is {tuple(stored.shape)}, and that of the network is {tuple(fresh.shape)}; "
                "give the recipe the model and the model.arguments of the weights"
            )
        taken[entry] = stored
    model.load_state_dict(taken)


def _axes(name: str, metadata: WeightsMetadata) -> dict[str, tuple[int | None, int | None]]:
    """Of each entry the axis along which classes lie, and that of the channels; None where there is none."""
    arguments = frozen_arguments(metadata.arguments)
    sizes = [(metadata.in_channels, metadata.num_classes + 1), (metadata.in_channels + 1, metadata.num_classes)]
    shapes = expected_shapes(name, metadata.in_channels, metadata.num_classes, arguments=arguments)
    others = [expected_shapes(name, *size, arguments=arguments) for size in sizes]
    return {
        entry: (_differing(shape, others[0][entry]), _differing(shape, others[1][entry]))
        for entry, shape in shapes.items()
    }


def _differing(shape: Iterable[int], other: Iterable[int]) -> int | None:
    return next((axis for axis, (a, b) in enumerate(zip(shape, other, strict=True)) if a != b), None)


def _by_class(stored: Tensor, fresh: Tensor, axis: int, places: Places) -> Tensor:
    """The entry with the classes that the weights know, the others as they are drawn."""
    taken = fresh.clone()
    for new, old in enumerate(places):
        if old is not None:
            taken.select(axis, new).copy_(stored.select(axis, old))
    return taken


def _by_channel(stored: Tensor, axis: int, places: Places) -> Tensor:
    """The entry for other channels: what is not known is the mean of all, and the response to them keeps its size."""
    if list(places) == list(range(stored.shape[axis])):
        return stored
    mean = stored.mean(axis)
    taken = torch.stack([mean if old is None else stored.select(axis, old) for old in places], axis)
    is_subset = all(place is not None for place in places)
    return taken if is_subset and len(places) == stored.shape[axis] else taken * (stored.shape[axis] / len(places))
