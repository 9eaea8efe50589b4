"""Photographs with label maps as a training loop wants them."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from medssm.data.layouts import LAYOUTS, offered_dataset
from medssm.data.layouts.ade20k import SceneDataset, load_scenes
from medssm.data.synthetic.scenes import cached_scenes
from medssm.data.transforms.label_maps import random_view
from medssm.errors import DataError, UsageError
from medssm.models.info import SemanticInput
from medssm.tasks.semantic.settings import SceneDataSettings, SceneEvaluationSettings, SemanticRecipe
from medssm.training import Source

# Photographs of a validation that are shown.
SHOWN = 6


class ValidationScene(NamedTuple):
    """A photograph (3, H, W) uint8, its classes (H, W) uint8, and whether it is to be shown."""

    photograph: Tensor
    labels: Tensor
    is_shown: bool


class Scenes(Source):
    """The photographs of a dataset, for the loader's threads or processes."""

    def __init__(self, recipe: SemanticRecipe, dataset: SceneDataset) -> None:
        self.recipe, self.dataset = recipe, dataset
        self.num_classes = len(dataset.names)
        self.preparation = preparation_of(recipe.validation)

    @property
    def training_size(self) -> int:
        return len(self.dataset.training)

    def sample(self, index: int, random: np.random.Generator) -> tuple[Tensor, Tensor]:
        """A random view (3, h, w) of a photograph and its classes (h, w) uint8."""
        photograph, labels = self.dataset.read(self.dataset.training[index])
        colours = self.preparation.mean, self.preparation.std
        return random_view(photograph, labels, self.recipe.augmentation, colours, random)

    @property
    def validation_size(self) -> int:
        return len(self.dataset.validation)

    def validation_item(self, index: int) -> ValidationScene:
        photograph, labels = self.dataset.read(self.dataset.validation[index])
        pixels = torch.from_numpy(photograph).permute(2, 0, 1).contiguous()
        every = max(1, self.validation_size // SHOWN)
        return ValidationScene(pixels, torch.from_numpy(labels), index % every == 0 and index < SHOWN * every)


def preparation_of(settings: SceneEvaluationSettings) -> SemanticInput:
    """How a photograph becomes an input in evaluation, with the colours that all published segmenters have."""
    return SemanticInput(
        short_side=settings.short_side, long_side=settings.long_side, window=settings.window, stride=settings.stride
    )


def open_scenes(data: SceneDataSettings) -> SceneDataset:
    """The dataset that a recipe names.

    Raises: UsageError if it names none; DataError if there is none or it has nothing to validate on.
    """
    if data.folder is None:
        raise UsageError(f"no dataset was given. {LAYOUTS['ade20k'].where}")
    if data.folder == "synthetic":
        folder = cached_scenes(data.synthetic_training, data.synthetic_validation)
    else:
        folder = Path(data.folder)
    dataset = offered_dataset("photographs with label maps", folder) or load_scenes(folder)
    if not dataset.validation:
        raise DataError(f"{dataset.source}: has no validation photographs; put them in images/validation")
    return dataset
