"""Weights to what runs them, by the task of their model or of the head on it."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import nn

from medssm.checkpoints import WeightsMetadata, load_model
from medssm.errors import CheckpointError, UsageError
from medssm.models import model_info
from medssm.tasks import task_of
from medssm.tasks.segmentation.ensemble import MeanOfNetworks, members_of, metadata_of_all, refuse_unlike

if TYPE_CHECKING:
    from medssm.tasks.classifier import Classifier
    from medssm.tasks.detection.runner import ObjectDetector
    from medssm.tasks.segmentation.runner import Predictor
    from medssm.tasks.semantic.runner import SemanticSegmenter

Device = str | torch.device | None
AnyRunner: TypeAlias = "Predictor | Classifier | ObjectDetector | SemanticSegmenter"


def load(run_or_checkpoint: str | Path, device: Device = None) -> "AnyRunner":
    """What runs the network of a run folder, one of our weights files, or a published checkpoint.

    Of a folder with the folds of a cross-validation it is the mean of their networks.

    Args:
        device: where the network runs; a GPU if there is one, if None.

    Returns: as the weights' model says: a `Predictor`, which segments scans, a `Classifier` of images or video, an
        `ObjectDetector`, or a `SemanticSegmenter`, which tells the class of every pixel.
    Raises: CheckpointError if the weights are damaged or foreign; UsageError for an unusable device.
    """
    if len(members := members_of(Path(run_or_checkpoint))) > 1:
        return load_ensemble(members, device)
    network, metadata = load_model(members[0])
    runner: AnyRunner = task_of(metadata).runner(network, metadata, device, "32-true")
    return runner


def load_predictor(run_or_checkpoint: str | Path, device: Device = None, *, model: str | None = None) -> "Predictor":
    """As `load`, of a model that segments scans.

    Args:
        model: which one it must be, where several have the same entries; None to tell by them.

    Raises: also UsageError for weights of another kind.
    """
    return _load(run_or_checkpoint, ("segmentation",), model, device)


def load_ensemble(members: Sequence[str | Path], device: Device = None, *, model: str | None = None) -> "Predictor":
    """The predictor of several runs or weights files for the same scans, whose probabilities are averaged.

    Args:
        model: which one each must be; None to tell by their entries.

    Raises: as `load_predictor`; UsageError if they are for other channels, grids, windows or classes.
    """
    if len(members) == 1:
        return load_predictor(members[0], device, model=model)
    networks, said = [], []
    for path in members:
        network, metadata = load_network(path, model)
        if task_of(metadata).name != "segmentation":
            raise UsageError(f"{path}: holds {contents(metadata)}; only networks for scans are averaged")
        networks.append(network)
        said.append((Path(path), metadata))
    refuse_unlike(said)
    whole = metadata_of_all([metadata for _, metadata in said])
    predictor: Predictor = task_of(whole).runner(MeanOfNetworks(networks), whole, device, "32-true")
    return predictor


def load_classifier(
    run_or_checkpoint: str | Path, device: Device = None, *, model: str | None = None, precision: str = "32-true"
) -> "Classifier":
    """As `load`, of a model that classifies images or video.

    Args:
        model: which one it must be, where several have the same entries; None to tell by them.
        precision: "32-true", "16-mixed" or "bf16-mixed".

    Raises: also UsageError for weights of another kind, or a precision that the device does not have.
    """
    tasks = ("classification", "video")
    return _load(run_or_checkpoint, tasks, model, device, precision)


def load_detector(
    run_or_checkpoint: str | Path, device: Device = None, *, model: str | None = None, precision: str = "32-true"
) -> "ObjectDetector":
    """As `load_classifier`, of a model that finds objects; `model` is the name of its backbone."""
    return _load(run_or_checkpoint, ("detection",), model, device, precision)


def load_segmenter(
    run_or_checkpoint: str | Path, device: Device = None, *, model: str | None = None, precision: str = "32-true"
) -> "SemanticSegmenter":
    """As `load_detector`, of a model that tells the class of every pixel."""
    return _load(run_or_checkpoint, ("semantic",), model, device, precision)


def load_network(path: str | Path, model: str | None = None) -> tuple[nn.Module, WeightsMetadata]:
    """The network of weights and what they say of themselves.

    Args:
        model: whose weights they must be; None for any.

    Raises: CheckpointError if they are damaged, foreign, or another model's.
    """
    name = model_info(model).name if model else None
    network, metadata = load_model(path, name)
    if name and metadata.model != name:
        raise CheckpointError(f"{path}: holds weights of {metadata.model}, not of {name}; leave --model out")
    return network, metadata


def contents(metadata: WeightsMetadata) -> str:
    """Which network the weights are of and what it does, in words."""
    return f"{' with '.join(filter(None, (metadata.model, metadata.head)))}, which {task_of(metadata).does}"


def _load(
    path: str | Path, tasks: tuple[str, ...], model: str | None, device: Device, precision: str = "32-true"
) -> Any:
    network, metadata = load_network(path, model)
    task = task_of(metadata)
    if task.name not in tasks:
        raise UsageError(f"{path}: holds {contents(metadata)}; see {task.command}")
    return task.runner(network, metadata, device, precision)
