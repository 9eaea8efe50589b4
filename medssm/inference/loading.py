"""Weights to what runs them, by the task of their model."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from medssm.checkpoints import WeightsMetadata, load_model
from medssm.errors import CheckpointError, UsageError
from medssm.inference.classification import Classifier, image_classifier, video_classifier
from medssm.inference.predictor import Predictor, segmenter
from medssm.models import model_info

Device = str | torch.device | None
_CLASSIFIERS = {"classification": image_classifier, "video": video_classifier}
_RUNNERS: dict[str, Callable[[nn.Module, WeightsMetadata, Device], Predictor | Classifier]] = {
    "segmentation": segmenter,
    **_CLASSIFIERS,
}


def load(run_or_checkpoint: str | Path, device: Device = None) -> Predictor | Classifier:
    """What runs the network of a run folder, one of our weights files, or a published checkpoint.

    Args:
        device: where the network runs; a GPU if there is one, if None.

    Returns: a `Predictor`, which segments scans, or a `Classifier` of images or video, as the weights' model says.
    Raises: CheckpointError if the weights are damaged or foreign; UsageError for an unusable device.
    """
    network, metadata = load_model(run_or_checkpoint)
    return _RUNNERS[model_info(metadata.model).task](network, metadata, device)


def load_predictor(run_or_checkpoint: str | Path, device: Device = None) -> Predictor:
    """As `load`, of a model that segments scans.

    Raises: also UsageError for weights of another kind.
    """
    network, metadata = load_model(run_or_checkpoint)
    if model_info(metadata.model).task != "segmentation":
        raise UsageError(f"{run_or_checkpoint}: holds {metadata.model}, which segments no scans; see medssm classify")
    return segmenter(network, metadata, device)


def load_classifier(
    run_or_checkpoint: str | Path, device: Device = None, *, model: str | None = None, precision: str = "32-true"
) -> Classifier:
    """As `load`, of a model that classifies images or video.

    Args:
        model: which one it must be, where several have the same entries; None to tell by them.
        precision: "32-true", "16-mixed" or "bf16-mixed".

    Raises: also UsageError for weights of another kind, or a precision that the device does not have.
    """
    network, metadata = load_model(run_or_checkpoint, model)
    if model is not None and metadata.model != model_info(model).name:
        raise CheckpointError(f"{run_or_checkpoint}: holds weights of {metadata.model}, not of {model}")
    task = model_info(metadata.model).task
    if task not in _CLASSIFIERS:
        raise UsageError(f"{run_or_checkpoint}: holds {metadata.model}, which segments scans; see medssm predict")
    return _CLASSIFIERS[task](network, metadata, device, precision)
