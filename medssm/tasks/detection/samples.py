"""Photographs with objects as a training loop wants them: random views in batches, and batches of the validation."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from medssm.data.layouts import LAYOUTS
from medssm.data.layouts.coco import CocoDataset, CocoImage, CocoImages, load_coco
from medssm.data.synthetic.objects import cached_objects
from medssm.data.transforms.boxes import (
    AnnotatedImage,
    augmented,
    normalised,
    padded_together,
    resized,
    resized_size,
    to_tensor,
)
from medssm.errors import DataError, UsageError
from medssm.models.detection import Objects
from medssm.models.info import DetectionInput
from medssm.tasks.detection.settings import DetectionRecipe, ObjectDataSettings
from medssm.training import Source

Size = tuple[int, int]


class TrainingSample(NamedTuple):
    """A normalised view (3, H, W) of an image, and its objects."""

    image: Tensor
    objects: Objects


class TrainingBatch(NamedTuple):
    """Images (B, 3, H, W) padded together, and of each its size (H, W) before that and its objects."""

    images: Tensor
    sizes: list[Size]
    objects: list[Objects]


class ValidationBatch(NamedTuple):
    """Images (B, 3, H, W) padded together, of each its size before that and its index in the annotations."""

    images: Tensor
    sizes: list[Size]
    indices: list[int]


class ValidationImages:
    """The images that score a network, in batches of which the last may be smaller."""

    def __init__(self, images: CocoImages, preparation: DetectionInput, batch_size: int) -> None:
        self.images, self.preparation, self.batch_size = images, preparation, batch_size

    def __len__(self) -> int:
        return -(-len(self.images) // self.batch_size)

    def __getitem__(self, number: int) -> ValidationBatch:
        places = range(number * self.batch_size, min(len(self.images), (number + 1) * self.batch_size))
        views = [self.prepared(place) for place in places]
        images = padded_together(views, self.preparation.multiple)
        sizes = [(view.shape[1], view.shape[2]) for view in views]
        return ValidationBatch(images, sizes, [int(self.images.indices[place]) for place in places])

    def prepared(self, place: int) -> Tensor:
        """An image (3, H, W) as the network takes it."""
        given, image = self.preparation, annotated(self.images.image(place, with_masks=False))
        size = resized_size(image.size, given.short_side, given.long_side)
        return normalised(resized(image, size).image, given.mean, given.std)


class DetectionImages(Source):
    """The images of a dataset, for the loader's processes."""

    def __init__(self, recipe: DetectionRecipe, training: CocoImages, validation: CocoImages) -> None:
        self.augmentation, self.training = recipe.augmentation, training
        given = recipe.validation
        self.preparation = DetectionInput(short_side=given.short_side, long_side=given.long_side)
        self.validation = ValidationImages(validation, self.preparation, given.batch_size)
        height, width = training.sizes.T
        self._is_upright = (height > width).astype(np.uint8)

    @property
    def training_size(self) -> int:
        return len(self.training)

    @property
    def groups(self) -> np.ndarray:
        """Upright images share batches, and so do the others, which saves padding; as in MMDetection."""
        return self._is_upright

    def sample(self, index: int, random: np.random.Generator) -> TrainingSample:
        """A random view of an image, with a seed for the boxes that are drawn of it to learn from."""
        view = augmented(annotated(self.training[index]), self.augmentation, random)
        image = normalised(view.image, self.preparation.mean, self.preparation.std)
        return TrainingSample(image, Objects(view.boxes, view.labels, view.masks, int(random.integers(2**31))))

    def collate(self, samples: list[TrainingSample], random: np.random.Generator) -> TrainingBatch:
        images = padded_together([image for image, _ in samples], self.preparation.multiple)
        sizes = [(image.shape[1], image.shape[2]) for image, _ in samples]
        return TrainingBatch(images, sizes, [objects for _, objects in samples])

    @property
    def validation_size(self) -> int:
        return len(self.validation)

    def validation_item(self, index: int) -> ValidationBatch:
        return self.validation[index]


def annotated(image: CocoImage) -> AnnotatedImage:
    """The image itself with its objects, as tensors."""
    arrays = (torch.from_numpy(array) for array in (image.boxes, image.labels, image.masks))
    return AnnotatedImage(to_tensor(image.read()), *arrays)


def open_objects(data: ObjectDataSettings) -> CocoDataset:
    """The dataset that a recipe names.

    Raises: UsageError if it names none; DataError if there is none or it has nothing to validate on.
    """
    if data.folder is None:
        raise UsageError(f"no dataset was given. {LAYOUTS['coco'].where}")
    if data.folder == "synthetic":
        folder = cached_objects(data.synthetic_training, data.synthetic_validation)
    else:
        folder = Path(data.folder)
    dataset = load_coco(folder)
    if not dataset.validation:
        raise DataError(f"{dataset.source}: has no images to validate on; add annotations/instances_val2017.json")
    return dataset
