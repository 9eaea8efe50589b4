"""Which model a state dict belongs to, told from names and shapes alone."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import torch
from torch import Tensor

from medssm.models import create_model, list_models, model_info
from medssm.models.info import StateDict

Shapes = dict[str, tuple[int, ...]]
Network = tuple[str, int, int, tuple[int, ...] | None]

# Left over from a larger network that the weights were part of; tried in this order.
PREFIXES = ("", "backbone.", "model.", "encoder.")


@dataclass(frozen=True)
class Fit:
    """A state dict beside the entries of the model that it comes nearest to.

    Attributes:
        model: its name. in_channels, num_classes: as read from the tensors.
        input_size: what learned positions are laid out for; None for the published size.
        state: the entries under the model's names; dropped: names that the model's published files may have too many.
        missing, extra, reshaped: names that keep the state dict from fitting.
    """

    model: str
    in_channels: int
    num_classes: int
    input_size: tuple[int, ...] | None
    state: StateDict
    dropped: tuple[str, ...]
    missing: tuple[str, ...]
    extra: tuple[str, ...]
    reshaped: tuple[str, ...]

    @property
    def network(self) -> Network:
        """The arguments of `expected_shapes`."""
        return self.model, self.in_channels, self.num_classes, self.input_size

    @property
    def faults(self) -> int:
        return len(self.missing) + len(self.extra) + len(self.reshaped)


def expected_shapes(
    model: str, in_channels: int, num_classes: int, input_size: tuple[int, ...] | None = None
) -> Shapes:
    """Name and shape of every entry of a model, in order, without taking memory for them."""
    return dict(_expected(model, in_channels, num_classes, input_size))


@lru_cache(maxsize=64)
def _expected(*network: Any) -> tuple[tuple[str, tuple[int, ...]], ...]:
    model, in_channels, num_classes, input_size = network
    with torch.device("meta"):
        module = create_model(model, in_channels=in_channels, num_classes=num_classes, input_size=input_size)
    return tuple((name, tuple(tensor.shape)) for name, tensor in module.state_dict().items())


def recognise(state: Mapping[str, Tensor], preferred: str | None = None) -> Fit | None:
    """The model with the fewest entries that do not fit; None if fewer than half of its entries are there.

    Of models with the same entries it is the preferred one, else one that was published with as many classes, else the
    first.
    """
    candidates = _with_entry("stem_entry", state) or _with_entry("head_entry", state)
    if not candidates:
        return None
    fits = [fit_published(name, entries) for name, entries in candidates]
    best = min(fits, key=lambda fit: (fit.faults, fit.model != preferred, not _has_published_classes(fit)))
    expected = len(expected_shapes(*best.network))
    return best if len(best.missing) + len(best.reshaped) <= expected / 2 else None


def _has_published_classes(fit: Fit) -> bool:
    return fit.num_classes == model_info(fit.model).num_classes


def _with_entry(kind: Literal["stem_entry", "head_entry"], state: Mapping[str, Tensor]) -> list[tuple[str, StateDict]]:
    """The models whose first or last layer is in a state dict, each with the entries under its names."""
    pairs = [(model_info(name), entries) for entries in _without_prefixes(state) for name in list_models()]
    return [(info.name, entries) for info, entries in pairs if getattr(info, kind) in info.from_published(entries)]


def fit_published(model: str, state: Mapping[str, Tensor]) -> Fit:
    """A published state dict beside the entries of one model; channels and classes are read from the tensors."""
    info = model_info(model)
    kept = info.from_published(state)
    in_channels = _size(kept, info.stem_entry, 1, info.in_channels)
    num_classes = _size(kept, info.head_entry, 0, info.num_classes)
    dropped = tuple(name for name in state if name not in kept)
    return fit_own((model, in_channels, num_classes, None), kept, dropped)


def fit_own(network: Network, state: Mapping[str, Tensor], dropped: tuple[str, ...] = ()) -> Fit:
    """A state dict under a network's own names beside its entries; `dropped` is only passed on."""
    expected = expected_shapes(*network)
    return Fit(
        *network,
        state=dict(state),
        dropped=dropped,
        missing=tuple(name for name in expected if name not in state),
        extra=tuple(name for name in state if name not in expected),
        reshaped=tuple(name for name, shape in expected.items() if name in state and state[name].shape != shape),
    )


def _without_prefixes(state: Mapping[str, Tensor]) -> Iterator[StateDict]:
    for prefix in PREFIXES:
        if not prefix or any(name.startswith(prefix) for name in state):
            yield {name.removeprefix(prefix): tensor for name, tensor in state.items()}


def _size(state: Mapping[str, Tensor], entry: str, axis: int, default: int) -> int:
    tensor = state.get(entry)
    return tensor.shape[axis] if tensor is not None and tensor.ndim > axis and tensor.shape[axis] else default
