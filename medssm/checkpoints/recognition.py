"""Which model a state dict belongs to, and which head on it, told from names and shapes alone."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import torch
from torch import Tensor

from medssm.models import fresh_model, head_info, list_heads, list_models, model_info
from medssm.models.info import ModelInfo
from medssm.models.variant import StateDict

Shapes = dict[str, tuple[int, ...]]
# The arguments of `expected_shapes`.
Network = tuple[str, int, int, tuple[int, ...] | None, str, tuple[tuple[str, int | float], ...], str]
NO_ARGUMENTS = "{}"

# Left over from a larger network that the weights were part of; tried in this order.
PREFIXES = ("", "backbone.", "model.", "encoder.")


@dataclass(frozen=True)
class Fit:
    """A state dict beside the entries of the model that it comes nearest to.

    Attributes:
        model, head: their names; no head is "". head_settings: numbers of it that are not the published ones.
            arguments: of the model, as `frozen_arguments` writes them.
        in_channels, num_classes: as read from the tensors.
        input_size: what learned positions are laid out for; None for the published size.
        state: the entries under the model's names; dropped: names that the model's published files may have too many.
        missing, extra, reshaped: names that keep the state dict from fitting.
    """

    model: str
    in_channels: int
    num_classes: int
    input_size: tuple[int, ...] | None
    head: str
    head_settings: tuple[tuple[str, int | float], ...]
    arguments: str
    state: StateDict
    dropped: tuple[str, ...]
    missing: tuple[str, ...]
    extra: tuple[str, ...]
    reshaped: tuple[str, ...]

    @property
    def network(self) -> Network:
        """The arguments that its entries follow from."""
        return (
            self.model,
            self.in_channels,
            self.num_classes,
            self.input_size,
            self.head,
            self.head_settings,
            self.arguments,
        )

    @property
    def faults(self) -> int:
        return len(self.missing) + len(self.extra) + len(self.reshaped)


def expected_shapes(
    model: str,
    in_channels: int,
    num_classes: int,
    input_size: tuple[int, ...] | None = None,
    head: str = "",
    head_settings: tuple[tuple[str, int | float], ...] = (),
    arguments: str = NO_ARGUMENTS,
) -> Shapes:
    """Name and shape of every entry of a model, with its head if any, in order, without taking memory for them."""
    return dict(_expected(model, in_channels, num_classes, input_size, head, head_settings, arguments))


@lru_cache(maxsize=64)
def _expected(*network: Any) -> tuple[tuple[str, tuple[int, ...]], ...]:
    model, in_channels, num_classes, input_size, head, settings, arguments = network
    with torch.device("meta"):
        module = fresh_model(
            model,
            in_channels=in_channels,
            num_classes=num_classes,
            input_size=input_size,
            head=head,
            head_settings=dict(settings),
            arguments=json.loads(arguments),
        )
    return tuple((name, tuple(tensor.shape)) for name, tensor in module.state_dict().items())


def recognise(state: Mapping[str, Tensor], preferred: str | None = None) -> Fit | None:
    """The model with the fewest entries that do not fit the state dict; None if fewer than half of its are there.

    Of models with the same entries it is the preferred one, else one that was published so, else the first.
    """
    head = _head_of(state)
    if head:
        fits = [_fit_dense(name, head, state) for name in _backbones(state)]
    else:
        candidates = _with_entry("stem_entry", state) or _with_entry("head_entry", state)
        fits = [fit_published(name, entries) for name, entries in candidates]
    if not fits:
        return None
    best = min(fits, key=lambda fit: (fit.faults, fit.model != preferred, not _is_published(fit)))
    expected = len(expected_shapes(*best.network))
    return best if len(best.missing) + len(best.reshaped) <= expected / 2 else None


def _is_published(fit: Fit) -> bool:
    info = model_info(fit.model)
    if fit.head:
        return any(published.head == fit.head for published in info.dense)
    return fit.num_classes == info.num_classes


def _head_of(state: Mapping[str, Tensor]) -> str:
    """The head that a state dict has entries of, "" for none; the last layer tells heads of the same parts apart."""
    by_part = [name for name in list_heads() if any(entry.startswith(head_info(name).parts) for entry in state)]
    return next((name for name in by_part if head_info(name).class_entry in state), by_part[0] if by_part else "")


def _backbones(state: Mapping[str, Tensor]) -> list[str]:
    """The models whose first layer is in the backbone of a detector or a segmenter."""
    infos = [model_info(name) for name in list_models("classification")]
    return [info.name for info in infos if info.backbone_entry(info.stem_entry) in state]


def _fit_dense(model: str, head: str, state: Mapping[str, Tensor]) -> Fit:
    """A detector's or a segmenter's state dict beside the entries of one model under its head."""
    info, outputs = model_info(model), head_info(head)
    in_channels = _size(state, info.backbone_entry(info.stem_entry), 1, info.in_channels)
    published = outputs.num_classes + outputs.background
    num_classes = _size(state, outputs.class_entry, 0, published) - outputs.background
    return fit_own((model, in_channels, max(num_classes, 1), None, head, (), NO_ARGUMENTS), state)


def _with_entry(kind: Literal["stem_entry", "head_entry"], state: Mapping[str, Tensor]) -> list[tuple[str, StateDict]]:
    """The models whose first or last layer is in a state dict, each with the entries under its names."""
    pairs = [(model_info(name), entries) for entries in _without_prefixes(state) for name in list_models()]
    return [(info.name, entries) for info, entries in pairs if getattr(info, kind) in _renamed(info, entries)]


def fit_published(model: str, state: Mapping[str, Tensor]) -> Fit:
    """A published state dict beside the entries of one model; channels and classes are read from the tensors."""
    info = model_info(model)
    kept = _renamed(info, state)
    in_channels = _size(kept, info.stem_entry, 1, info.in_channels)
    num_classes = _size(kept, info.head_entry, 0, info.num_classes)
    dropped = tuple(name for name in state if name not in kept)
    return fit_own((model, in_channels, num_classes, None, "", (), NO_ARGUMENTS), kept, dropped)


def _renamed(info: ModelInfo, state: Mapping[str, Tensor]) -> StateDict:
    return info.variant().from_published(state)


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
