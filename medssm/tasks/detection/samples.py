"""Photographs with objects as a training loop wants them: random views in batches, and batches of the validation."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from medssm.data.layouts import LAYOUTS, offered_dataset
from medssm.data.layouts.coco import CocoDataset, CocoImage, CocoImages, load_coco
from medssm.data.synthetic.objects import cached_objects
from medssm.data.transforms.boxes import (
    AnnotatedImage,
    augmented,
    padded_together,
    to_tensor,
)
from medssm.data.transforms.colours import normalised
from medssm.errors import UsageError
from medssm.metrics.detection import FoundObjects
from medssm.models.detection import Detections, Objects
from medssm.models.info import DetectionInput
from medssm.tasks.detection.runner import Size, prepared, run_lengths, whole_masks
from medssm.tasks.detection.settings import DetectionRecipe, ObjectDataSettings
from medssm.training import Source


class TrainingSample(NamedTuple):
    """A normalised view (3, H, W) of an image, and its objects."""

    image: Tensor
    objects: Objects


class TrainingBatch(NamedTuple):
    """Images (B, 3, H, W) padded together, and of each its size (H, W) before that and its objects."""

    images: Tensor
    sizes: list[Size]
    objects: list[Objects]


class ScoredImages(NamedTuple):
    """Images (B, 3, H, W) padded together; of each (h, w) before that and as annotated, and its index in the list."""

    images: Tensor
    sizes: list[Size]
    originals: list[Size]
    indices: list[int]


class ScoredPhotographs:
    """The images that score a network, in batches of which the last may be smaller."""

    def __init__(self, images: CocoImages, preparation: DetectionInput, batch_size: int) -> None:
        self.images, self.preparation, self.batch_size = images, preparation, batch_size

    def __len__(self) -> int:
        return -(-len(self.images) // self.batch_size)

    def __getitem__(self, number: int) -> ScoredImages:
        places = range(number * self.batch_size, min(len(self.images), (number + 1) * self.batch_size))
        photographs = [self.images.image(place, with_masks=False).read() for place in places]
        indices = [int(self.images.indices[place]) for place in places]
        originals = [(int(height), int(width)) for height, width in self.images.annotations.sizes[indices]]
        return ScoredImages(*prepared(photographs, self.preparation), originals, indices)


def found_objects(detections: Sequence[Detections], batch: ScoredImages) -> list[FoundObjects]:
    """What was found on each image of a batch, as it is compared with the annotations."""
    return [
        FoundObjects(
            image=index,
            boxes=found.boxes.double().cpu().numpy(),
            scores=found.scores.double().cpu().numpy(),
            labels=found.labels.cpu().numpy(),
            run_lengths=tuple(run_lengths(mask) for mask in whole_masks(found.masks, found.boxes, original)),
        )
        for found, original, index in zip(detections, batch.originals, batch.indices, strict=True)
    ]


class DetectionImages(Source):
    """The images of a dataset, for the loader's processes."""

    def __init__(self, recipe: DetectionRecipe, training: CocoImages, validation: CocoImages) -> None:
        self.augmentation, self.training = recipe.augmentation, training
        given = recipe.validation
        self.preparation = DetectionInput(short_side=given.short_side, long_side=given.long_side)
        self.validation = ScoredPhotographs(validation, self.preparation, given.batch_size)
        height, width = training.sizes.T
        self._is_upright = (height > width).astype(np.uint8)

    @property
    def training_size(self) -> int:
        return len(self.training)

    @property
    def groups(self) -> np.ndarray:
        """Whether each image is upright, (n,): such share batches, and so do the others; as in MMDetection."""
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

    def validation_item(self, index: int) -> ScoredImages:
        return self.validation[index]


def annotated(image: CocoImage) -> AnnotatedImage:
    """The image itself with its objects, as tensors."""
    arrays = (torch.from_numpy(array) for array in (image.boxes, image.labels, image.masks))
    return AnnotatedImage(to_tensor(image.read()), *arrays)


def open_objects(data: ObjectDataSettings) -> CocoDataset:
    """The dataset that a recipe names.

    Raises: UsageError if it names none; DataError if there is none.
    """
    if data.folder is None:
        raise UsageError(f"no dataset was given. {LAYOUTS['coco'].where}")
    if data.folder == "synthetic":
        folder = cached_objects(data.synthetic_training, data.synthetic_validation)
    else:
        folder = Path(data.folder)
    return offered_dataset("images with objects", folder) or load_coco(folder)
