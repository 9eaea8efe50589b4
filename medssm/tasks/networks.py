"""From what recipes say of their networks to the networks that they train, and to what their weights say."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from medssm.checkpoints import WeightsMetadata, create_model
from medssm.errors import UsageError
from medssm.models.info import ClipInput, DetectionInput, ImageInput, SemanticInput
from medssm.tasks.settings import HeadedSettings, Recipe
from medssm.tasks.weights import PUBLISHED


def headed_network(settings: HeadedSettings, num_classes: int, dropout_rate: float | None = None) -> Any:
    """The network that a run begins with: a backbone, with its weights if any are asked for, under a fresh head.

    Args:
        dropout_rate: of the head; None for the published one.

    Raises: CheckpointError if the weights cannot be had; UsageError on settings that do not fit.
    """
    start = settings.pretrained
    model: Any = create_model(
        settings.name,
        pretrained=start == PUBLISHED or start or False,
        num_classes=num_classes,
        dropout_rate=dropout_rate,
        drop_path_rate=settings.drop_path_rate,
        head=settings.head,
        head_settings=settings.head_settings,
        arguments=settings.arguments,
    )
    if settings.gradient_checkpointing:
        model.backbone.set_grad_checkpointing()
    return model


def recompute_activations(name: str, model: Any) -> None:
    """Turns on gradient checkpointing. Raises: UsageError if a network that is not ours does not know how."""
    if not hasattr(model, "set_grad_checkpointing"):
        raise UsageError(f"{name}: cannot recompute activations; leave out model.gradient_checkpointing")
    model.set_grad_checkpointing()


def start_of(settings: HeadedSettings) -> str:
    """What the backbone begins with, in words."""
    start = settings.pretrained
    weights = "random weights, as model.pretrained is null" if start is None else f"weights: {start}"
    return f"the backbone starts from {weights}"


def checked_classes(asked: int | None, found: int, source: Path) -> int:
    """The number of classes of a network for a dataset: that of the dataset where None is asked for.

    Raises: UsageError if the network would have fewer than the dataset.
    """
    if asked is not None and asked < found:
        raise UsageError(
            f"{source}: has {found} classes, but the model has {asked}; leave out model.num_classes, or train with "
            f"--set model.num_classes={found}"
        )
    return asked or found


def run_metadata(
    recipe: Recipe,
    source: Path,
    num_classes: int,
    names: Sequence[str],
    preparation: ImageInput | ClipInput | DetectionInput | SemanticInput,
    figures: str,
    input_size: tuple[int, ...] = (),
) -> WeightsMetadata:
    """What the weights of a run say of themselves.

    Args:
        source: the dataset.
        names: of its classes.
        figures: of the validation, in words.
        input_size: of one input, where the network is laid out for it.
    """
    model = recipe.model
    on_head: dict[str, Any] = (
        {"head": model.head, "head_settings": model.head_settings} if isinstance(model, HeadedSettings) else {}
    )
    return WeightsMetadata(
        **on_head,
        model=model.name,
        arguments=model.arguments,
        input_size=input_size,
        num_classes=num_classes,
        in_channels=3,
        class_names=dict(enumerate(names)),
        preprocessing=asdict(preparation),
        licence="of whoever trained them and of the data",
        source=f"recipe {recipe.name} on {source.name}, validation {figures}",
    )
