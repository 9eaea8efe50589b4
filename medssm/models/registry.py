"""Every model by name. The file of an architecture, and torch, are read when one of its networks is created."""

import difflib
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from medssm import offers
from medssm.errors import UsageError, quoted
from medssm.models.arguments import Arguments, checked_arguments
from medssm.models.catalogue import MODELS
from medssm.models.catalogue.monai_networks import PREFIX, monai_info
from medssm.models.heads import HeadInfo, HeadSettings, head_info
from medssm.models.info import ModelInfo, Options, TaskName

if TYPE_CHECKING:
    from torch import nn

    from medssm.models.variant import Variant

_MODELS: dict[str, ModelInfo] = {info.name: info for info in MODELS}
_ALIASES = {alias: info.name for info in _MODELS.values() for alias in info.aliases}


def list_models(task: TaskName | None = None) -> list[str]:
    """The names that `fresh_model` takes, of one task or of all; those that other packages offer come last."""
    offered = offers.every_offered(offers.MODELS, ModelInfo)
    known = [*_MODELS.values(), *(info for name, info in offered.items() if name not in _MODELS)]
    return [info.name for info in known if task in (None, info.task)]


def model_info(name: str) -> ModelInfo:
    """What is known of a model, by its name or the one that its paper uses, or of one of MONAI's, `monai:NAME`.

    Raises: UsageError on an unknown name.
    """
    if name.startswith(PREFIX):
        return monai_info(name)
    name = _ALIASES.get(name, name)
    if name in _MODELS:
        return _MODELS[name]
    if name in (names := offers.offered_names(offers.MODELS)):
        return _offered_info(name)
    nearest = difflib.get_close_matches(name.lower(), [*_MODELS, *names], n=1, cutoff=0.5)
    hint = f"did you mean {nearest[0]}?" if nearest else "`medssm models` lists them"
    raise UsageError(f"no model is called {quoted(name)}; {hint}")


def _offered_info(name: str) -> ModelInfo:
    info = offers.offered(offers.MODELS, name, ModelInfo)
    if info.name != name:
        raise UsageError(f"{quoted(name)}: an installed package offers {quoted(info.name)} by it; tell its authors")
    return replace(info, variant=partial(_offered_variant, info))


def _offered_variant(info: ModelInfo) -> "Variant":
    with offers.code_of_others(offers.MODELS, info.name):
        return info.variant()


def is_offered(name: str) -> bool:
    """Whether a model is that of another installed package."""
    return name not in _MODELS and name in offers.offered_names(offers.MODELS)


def is_model(name: str) -> bool:
    """Whether a network is called so here."""
    try:
        return bool(model_info(name))
    except UsageError:
        return False


def fresh_model(
    name: str,
    *,
    num_classes: int | None = None,
    in_channels: int | None = None,
    dropout_rate: float | None = None,
    drop_path_rate: float | None = None,
    input_size: int | Sequence[int] | None = None,
    features_only: bool = False,
    head: str = "",
    head_settings: HeadSettings | None = None,
    arguments: Arguments | None = None,
) -> "nn.Module":
    """A freshly initialised network, in training mode.

    Args:
        name: one of `list_models()`, the paper's spelling, or `monai:NAME` for one of MONAI's networks for scans.
        num_classes, in_channels, dropout_rate, drop_path_rate: None for the published value. A classifier of no classes
            gives the pooled features that its last layer would take, (B, channels).
        input_size: (D, H, W), (H, W) or (T, H, W), or one number for a square image: what windows or learned positions
            are laid out for; None for the published size. Inputs of other sizes still work where the architecture
            allows them.
        features_only: the network gives its pyramid of feature maps, from the finest to the coarsest, in place of
            logits; `channels` and `strides` describe it.
        head: one of `list_heads()`, for a detector or a segmenter on that pyramid; its classes are the head's, and
            `dropout_rate` is of the head. Empty for the model itself.
        head_settings: numbers of the head by name, where they are not the published ones; None for all as published.
        arguments: by which the model differs from the published one, such as {"patch_size": (16, 16, 4)}.

    Raises: UsageError on an unknown name, an impossible size or argument, or if a head does not go with the model.
    """
    info = model_info(name)
    in_channels = info.in_channels if in_channels is None else in_channels
    if num_classes is None:
        num_classes = head_info(head).num_classes if head else info.num_classes
    _check_counts(info, head, in_channels, num_classes)
    for option, rate in (("dropout_rate", dropout_rate), ("drop_path_rate", drop_path_rate)):
        if rate is not None and not 0 <= rate < 1:
            raise UsageError(f"{name}: {option} is {rate}; it must be at least 0 and below 1")
    options = Options(
        in_channels,
        num_classes,
        dropout_rate,
        drop_path_rate,
        _checked_size(info, input_size),
        features_only,
        arguments=check_arguments(name, arguments or {}),
    )
    if head:
        return _with_head(info, head_info(head), options, head_settings or {})
    return info.variant().build(options)


def check_arguments(name: str, arguments: Arguments) -> dict[str, Any]:
    """The arguments as the network of a model takes them.

    Raises: UsageError on one that the model does not have, or an impossible value.
    """
    return checked_arguments(name, model_info(name).variant().arguments, arguments) if arguments else {}


def plan_arguments(
    name: str, arguments: Arguments, window: tuple[int, ...], spacing: tuple[float, ...]
) -> dict[str, Any]:
    """The arguments of a model, completed for what it is to see where its network depends on that.

    Args:
        window: in voxels along the three axes of the network. spacing: of these voxels in mm, in the same order.

    Raises: UsageError as `check_arguments`, or if the window does not suit the network.
    """
    checked, plan = check_arguments(name, arguments), model_info(name).variant().plan
    return plan(checked, window, spacing) if plan else checked


def _check_counts(info: ModelInfo, head: str, in_channels: int, num_classes: int) -> None:
    if num_classes == 0 and (head or info.task == "segmentation"):
        raise UsageError(
            f"{info.name}: num_classes is 0, which is for classifiers, whose pooled features it gives; for the feature "
            "maps of this network give features_only=True"
        )
    if in_channels < 1 or num_classes < 0:
        raise UsageError(f"{info.name}: {in_channels} input channels and {num_classes} classes; neither can be")


def _with_head(info: ModelInfo, head: HeadInfo, options: Options, settings: HeadSettings) -> "nn.Module":
    """The head on the model's pyramid."""
    if info.task != "classification":
        raise UsageError(f"{info.name}: {head.title} takes networks for images, and this is one for {info.task}")
    network = info.variant().build(replace(options, dropout_rate=None, features_only=True, pyramid_for=head.task))
    backbone = network.get_submodule(info.pyramid_part)
    return head.build(info, backbone, options.num_classes, options.dropout_rate, settings)


def _checked_size(info: ModelInfo, size: int | Sequence[int] | None) -> tuple[int, ...] | None:
    if size is None:
        return None
    sizes = (size, size) if isinstance(size, int) else tuple(size)
    if len(sizes) != len(info.input_size) or min(sizes) < 1:
        raise UsageError(
            f"{info.name}: input_size is {size}; it takes {len(info.input_size)} sizes of 1 or more, "
            f"such as {info.input_size}"
        )
    return sizes


def count_parameters(name: str, head: str = "") -> int:
    """Number of parameters of a model, or of one with a head, as published, without taking memory for them."""
    import torch

    with torch.device("meta"):
        model = fresh_model(name, head=head)
    return sum(parameter.numel() for parameter in model.parameters())
