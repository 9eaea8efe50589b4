"""A video in, classes with their probabilities out."""

import torch
from torch import nn

from medssm.checkpoints import WeightsMetadata
from medssm.models.info import ClipInput
from medssm.tasks.classifier import Classifier
from medssm.tasks.names import class_names
from medssm.tasks.runner import input_fields
from medssm.tasks.video.files import ClipViews


def video_classifier(
    network: nn.Module, metadata: WeightsMetadata, device: str | torch.device | None = None, precision: str = "32-true"
) -> Classifier:
    """The classifier of a network for clips and the metadata of its weights."""
    views = ClipViews(ClipInput(**input_fields(metadata)), metadata.input_size)
    return Classifier(network, metadata.model, views, class_names(metadata), device, precision)
