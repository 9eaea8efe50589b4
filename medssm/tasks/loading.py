"""Weights to what runs them, by the task of their model or of the head on it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from medssm.checkpoints import WeightsMetadata, load_model
from medssm.errors import CheckpointError, UsageError
from medssm.models import model_info
from medssm.models.heads import head_info
from medssm.tasks.classification.runner import image_classifier
from medssm.tasks.classifier import Classifier
from medssm.tasks.detection.runner import Detector, detector
from medssm.tasks.segmentation.runner import Predictor, segmenter
from medssm.tasks.semantic.runner import SemanticSegmenter, semantic_segmenter
from medssm.tasks.video.runner import video_classifier

Device = str | torch.device | None
Runner = Predictor | Classifier | Detector | SemanticSegmenter
_RUNNERS: dict[str, Callable[..., Runner]] = {
    "segmentation": segmenter,
    "classification": image_classifier,
    "video": video_classifier,
    "detection": detector,
    "semantic": semantic_segmenter,
}
# What networks of each task do, and the command that has them do it.
_USES = {
    "segmentation": "segments scans; see medssm predict",
    "classification": "classifies images; see medssm classify",
    "video": "classifies videos; see medssm classify",
    "detection": "finds objects; see medssm detect",
    "semantic": "tells the class of every pixel; see medssm segment",
}


def load(run_or_checkpoint: str | Path, device: Device = None) -> Runner:
    """What runs the network of a run folder, one of our weights files, or a published checkpoint.

    Args:
        device: where the network runs; a GPU if there is one, if None.

    Returns: as the weights' model says: a `Predictor`, which segments scans, a `Classifier` of images or video, a
        `Detector` of objects, or a `SemanticSegmenter`, which tells the class of every pixel.
    Raises: CheckpointError if the weights are damaged or foreign; UsageError for an unusable device.
    """
    network, metadata = load_model(run_or_checkpoint)
    return _RUNNERS[_task(metadata)](network, metadata, device)


def load_predictor(run_or_checkpoint: str | Path, device: Device = None, *, model: str | None = None) -> Predictor:
    """As `load`, of a model that segments scans.

    Args:
        model: which one it must be, where several have the same entries; None to tell by them.

    Raises: also UsageError for weights of another kind.
    """
    return _load(run_or_checkpoint, ("segmentation",), model, device)  # type: ignore[return-value]


def load_classifier(
    run_or_checkpoint: str | Path, device: Device = None, *, model: str | None = None, precision: str = "32-true"
) -> Classifier:
    """As `load`, of a model that classifies images or video.

    Args:
        model: which one it must be, where several have the same entries; None to tell by them.
        precision: "32-true", "16-mixed" or "bf16-mixed".

    Raises: also UsageError for weights of another kind, or a precision that the device does not have.
    """
    return _load(  # type: ignore[return-value]
        run_or_checkpoint, ("classification", "video"), model, device, precision=precision
    )


def load_detector(
    run_or_checkpoint: str | Path, device: Device = None, *, model: str | None = None, precision: str = "32-true"
) -> Detector:
    """As `load_classifier`, of a model that finds objects; `model` is the name of its backbone."""
    return _load(run_or_checkpoint, ("detection",), model, device, precision=precision)  # type: ignore[return-value]


def load_segmenter(
    run_or_checkpoint: str | Path, device: Device = None, *, model: str | None = None, precision: str = "32-true"
) -> SemanticSegmenter:
    """As `load_detector`, of a model that tells the class of every pixel."""
    return _load(run_or_checkpoint, ("semantic",), model, device, precision=precision)  # type: ignore[return-value]


def _load(path: str | Path, tasks: tuple[str, ...], model: str | None, device: Device, **options: Any) -> Runner:
    network, metadata = load_model(path, model)
    if model is not None and metadata.model != model_info(model).name:
        raise CheckpointError(f"{path}: holds weights of {metadata.model}, not of {model}")
    task = _task(metadata)
    if task not in tasks:
        name = " with ".join(filter(None, (metadata.model, metadata.head)))
        raise UsageError(f"{path}: holds {name}, which {_USES[task]}")
    return _RUNNERS[task](network, metadata, device, **options)


def _task(metadata: WeightsMetadata) -> str:
    return head_info(metadata.head).task if metadata.head else model_info(metadata.model).task
