"""Which weights are meant."""

from pathlib import Path

from torch import nn

from medssm.checkpoints import WeightsMetadata, load_model
from medssm.checkpoints.hub import fetch_published
from medssm.errors import CheckpointError, UsageError
from medssm.models import model_info
from medssm.models.info import TaskName

# What stands for the weights that the authors published.
PUBLISHED = "published"


def weights_path(weights: str | Path, model: str | None) -> Path:
    """The file or run folder; PUBLISHED fetches those of `model`.

    Raises: UsageError if they are asked for without saying whose; what `fetch_published` raises.
    """
    if str(weights) != PUBLISHED:
        return Path(weights)
    if model is None:
        raise UsageError(f"--weights {PUBLISHED}: say whose, with --model NAME")
    return fetch_published(model_info(model).name)


def load_network(weights: str | Path, model: str | None, task: TaskName) -> tuple[nn.Module, WeightsMetadata]:
    """The network of weights that are to be measured, for a task of the registry.

    Args:
        model: whose weights they are; None to tell by the file.

    Raises: UsageError or CheckpointError if they cannot be used, are another model's, or are for another task.
    """
    name = model_info(model).name if model else None
    network, metadata = load_model(weights_path(weights, name), name)
    if name and metadata.model != name:
        raise CheckpointError(f"{weights}: holds weights of {metadata.model}, not of {name}; leave --model out")
    if (found := model_info(metadata.model).task) != task:
        raise UsageError(f"{weights}: holds weights of {metadata.model}, which is for {found}, not for {task}")
    return network, metadata
