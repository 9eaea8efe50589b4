"""Detection of objects, as the training loop wants it."""

from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from medssm.checkpoints import save_weights
from medssm.data.layouts.coco import CocoDataset
from medssm.errors import DataError
from medssm.metrics.detection import AveragePrecision, FoundObjects, average_precision
from medssm.models.detection import LOSSES, Detector
from medssm.tasks.detection.pictures import beside_annotations, shown
from medssm.tasks.detection.runner import objects_on
from medssm.tasks.detection.samples import DetectionImages, ScoredImages, TrainingBatch, found_objects, open_objects
from medssm.tasks.detection.settings import DetectionRecipe
from medssm.tasks.networks import checked_classes, headed_network, run_metadata, start_of
from medssm.training import Moment, Task

SHOWN_IMAGES = 4


class DetectionTraining(Task):
    """Trains a detector on random views of images and scores the objects that it finds on others."""

    score = "box_ap"
    score_names = ("box_ap", "box_ap50", "box_ap75", "mask_ap", "mask_ap50", "mask_ap75")
    loss_names = ("loss", *LOSSES)
    unit = "images"
    forward_methods = ("losses",)

    def __init__(self, recipe: DetectionRecipe, dataset: CocoDataset) -> None:
        self.recipe, self.dataset = recipe, dataset
        if dataset.training is None:
            raise DataError(f"{dataset.source}: has no training images; add annotations/instances_train2017.json")
        if refusal := dataset.training.refusal:
            raise DataError(f"{dataset.training.annotations.source}: {refusal}")
        self.validation = dataset.validated
        self.num_classes = checked_classes(recipe.model.num_classes, len(dataset.categories), dataset.source)
        self.images = DetectionImages(recipe, dataset.training, self.validation)
        self._news = [start_of(recipe.model)]
        if left_out := dataset.training.left_out:
            self._news.append(f"objects that nothing is learned from: {left_out}; medssm data check names them")

    @classmethod
    def open(cls, recipe: DetectionRecipe) -> "DetectionTraining":
        """The training of a recipe, with its dataset found."""
        return cls(recipe, open_objects(recipe.data))

    @property
    def class_names(self) -> Sequence[str]:
        return self.dataset.names

    @property
    def source(self) -> DetectionImages:
        return self.images

    def build_model(self) -> nn.Module:
        return headed_network(self.recipe.model, self.num_classes)

    def news(self) -> list[str]:
        """At the beginning, what the backbone starts from."""
        news, self._news = self._news, []
        return news

    @property
    def training_size(self) -> int:
        return self.images.training_size

    def sample(self, index: int, random: np.random.Generator) -> Any:
        return self.images.sample(index, random)

    def losses(self, model: Any, batch: TrainingBatch, moment: Moment) -> dict[str, Tensor]:
        """The loss and its parts, scalars, on images (B, 3, H, W)."""
        parts: dict[str, Tensor] = model.losses(batch.images, batch.sizes, batch.objects)
        loss = torch.stack([parts[name] for name in LOSSES]).sum()
        return {"loss": loss, **{name: parts[name].detach() for name in LOSSES}}

    @property
    def validation_size(self) -> int:
        return self.images.validation_size

    def validate(self, model: nn.Module, item: ScoredImages) -> list[FoundObjects]:
        assert isinstance(model, Detector)
        return found_objects(objects_on(model, item.images, item.sizes, item.originals), item)

    def summarise(self, results: list[list[FoundObjects]]) -> dict[str, float]:
        found = list(chain.from_iterable(results))
        known = self.validation.annotations
        return {
            **_figures("box", average_precision(known, found, "box")),
            **_figures("mask", average_precision(known, found, "mask")),
        }

    def pictures(self, results: list[list[FoundObjects]]) -> dict[str, np.ndarray]:
        """Images with annotations beside what was found, (H, W, 3) uint8 each."""
        chosen = shown(list(chain.from_iterable(results)), SHOWN_IMAGES)
        return {f"objects {number}": beside_annotations(found, self.dataset) for number, found in enumerate(chosen, 1)}

    def save_weights(self, model: nn.Module, path: Path, scores: dict[str, float]) -> None:
        figures = f"box AP {scores['box_ap']:.4f}, mask AP {scores['mask_ap']:.4f}"
        metadata = run_metadata(
            self.recipe, self.dataset.source, self.num_classes, self.dataset.names, self.images.preparation, figures
        )
        save_weights(path, model, metadata)


def _figures(kind: str, found: AveragePrecision) -> dict[str, float]:
    """NaN, where nothing is annotated, would be no score that a run can be judged by."""
    values = {"ap": found.ap, "ap50": found.ap50, "ap75": found.ap75}
    return {f"{kind}_{name}": 0.0 if np.isnan(value) else value for name, value in values.items()}
