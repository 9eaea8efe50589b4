"""Every model by name."""

import difflib

import torch
from torch import nn

from medssm.errors import UsageError
from medssm.models import mamband
from medssm.models.info import ModelInfo

_MODELS = {info.name: info for info in mamband.MODELS}


def list_models() -> list[str]:
    """The names that `create_model` takes."""
    return list(_MODELS)


def model_info(name: str) -> ModelInfo:
    """What is known of a model.

    Raises: UsageError on an unknown name.
    """
    if name not in _MODELS:
        nearest = difflib.get_close_matches(name, _MODELS, n=1, cutoff=0.5)
        hint = f"did you mean {nearest[0]}?" if nearest else "`medssm models` lists them"
        raise UsageError(f"no model is called {name!r}; {hint}")
    return _MODELS[name]


def create_model(
    name: str,
    *,
    num_classes: int | None = None,
    in_channels: int | None = None,
    dropout_rate: float | None = None,
    features_only: bool = False,
) -> nn.Module:
    """A freshly initialised network, in training mode.

    Args:
        name: one of `list_models()`.
        num_classes, in_channels, dropout_rate: None for the published value.
        features_only: the network gives its pyramid of feature maps, from the finest to the coarsest, in place of
            logits; `channels` and `strides` describe it.

    Raises: UsageError on an unknown name or an impossible size.
    """
    info = model_info(name)
    in_channels = info.in_channels if in_channels is None else in_channels
    num_classes = info.num_classes if num_classes is None else num_classes
    if in_channels < 1 or num_classes < 1:
        raise UsageError(f"{name}: {in_channels} input channels and {num_classes} classes; both must be 1 or more")
    if dropout_rate is not None and not 0 <= dropout_rate < 1:
        raise UsageError(f"{name}: dropout_rate is {dropout_rate}; it must be at least 0 and below 1")
    return info.build(in_channels, num_classes, dropout_rate, features_only)


def count_parameters(name: str) -> int:
    """Number of parameters of a model as published, without taking memory for them."""
    with torch.device("meta"):
        model = create_model(name)
    return sum(parameter.numel() for parameter in model.parameters())
