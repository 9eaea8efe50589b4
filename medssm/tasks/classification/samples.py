"""Photographs as a training loop wants them: random views, mixed batches, and batches of the validation."""

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from medssm.data.images.reading import read_image
from medssm.data.layouts import LAYOUTS, offered_dataset
from medssm.data.layouts.imagenet import ImageDataset, load_image_dataset
from medssm.data.synthetic.shapes import cached_shapes
from medssm.data.transforms.images import training_transform
from medssm.data.transforms.mixing import mix
from medssm.errors import DataError, UsageError
from medssm.models.info import ImageInput
from medssm.tasks.classification.files import ImageViews
from medssm.tasks.classification.settings import ClassificationRecipe, ImageDataSettings
from medssm.tasks.scored_files import ScoredBatch, ScoredFiles
from medssm.training import Source

# The transform is a function that no process can hand to another: each makes its own, once.
_training_transform = lru_cache(training_transform)


class ClassificationImages(Source):
    """The images of a dataset, for the loader's processes."""

    def __init__(self, recipe: ClassificationRecipe, dataset: ImageDataset, num_classes: int, colours: ImageInput):
        """Keeps the mean and deviation of `colours`; the rest of the preparation is the recipe's."""
        self.recipe, self.training, self.num_classes = recipe, dataset.training, num_classes
        given = recipe.validation
        self.preparation = ImageInput(colours.mean, colours.std, given.crop_pct, given.crop_mode, given.interpolation)
        views = ImageViews(self.preparation, recipe.model.input_size)
        self.validation = ScoredFiles(dataset.validation, views, given.batch_size)
        self.dtype = getattr(torch, recipe.data.dtype)

    @property
    def training_size(self) -> int:
        return len(self.training)

    def sample(self, index: int, random: np.random.Generator) -> tuple[Tensor, int]:
        """A random view (3, H, W) of an image, and its label."""
        given, sample = self.preparation, self.training[index]
        view = _training_transform(self.recipe.augmentation, self.recipe.model.input_size, given.mean, given.std)
        return view(read_image(sample.path), random), sample.label

    def collate(self, samples: list[tuple[Tensor, int]], random: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Mixed images (B, 3, H, W) and soft targets (B, num_classes)."""
        images = torch.stack([image for image, _ in samples]).to(self.dtype)
        labels = torch.tensor([label for _, label in samples])
        return mix(images, labels, self.num_classes, self.recipe.mixing, random)

    @property
    def validation_size(self) -> int:
        return len(self.validation)

    def validation_item(self, index: int) -> ScoredBatch:
        batch = self.validation[index]
        return batch._replace(inputs=batch.inputs.to(self.dtype))


def open_images(data: ImageDataSettings) -> ImageDataset:
    """The dataset that a recipe names.

    Raises: UsageError if it names none; DataError if there is none or it has nothing to validate on.
    """
    if data.folder is None:
        raise UsageError(f"no dataset was given. {LAYOUTS['imagenet'].where}")
    if data.folder == "synthetic":
        folder = cached_shapes(data.synthetic_training, data.synthetic_validation)
    else:
        folder = Path(data.folder)
    dataset = offered_dataset("images of classes", folder) or load_image_dataset(folder)
    if not len(dataset.validation):
        raise DataError(f"{dataset.source}: has no validation images; lay them out as val/CLASS/*.jpg")
    return dataset
