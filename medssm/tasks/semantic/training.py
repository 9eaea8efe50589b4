"""Semantic segmentation of photographs, as the training loop wants it."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from torch import Tensor, nn

from medssm.checkpoints import save_weights
from medssm.data.layouts.ade20k import SceneDataset
from medssm.errors import DataError
from medssm.metrics.semantic import PixelCounts, count_pixels, label_scores, total
from medssm.models.upernet import semantic_losses
from medssm.tasks.networks import checked_classes, headed_network, run_metadata, start_of
from medssm.tasks.semantic.pictures import beside_reference
from medssm.tasks.semantic.runner import label_map
from medssm.tasks.semantic.samples import Scenes, ValidationScene, open_scenes
from medssm.tasks.semantic.settings import SemanticRecipe
from medssm.training import Moment, Task


class SceneScore(NamedTuple):
    """The pixels of a photograph that were right and wrong, and what it looks like if it is shown."""

    counts: PixelCounts
    picture: np.ndarray | None


class SemanticTraining(Task):
    """Trains a network on random views of photographs and scores it on whole other ones, at their own size."""

    score = "miou"
    score_names = ("miou", "macc", "aacc")
    loss_names = ("loss", "main", "auxiliary")
    unit = "images"

    def __init__(self, recipe: SemanticRecipe, dataset: SceneDataset) -> None:
        self.recipe, self.dataset = recipe, dataset
        if not dataset.training:
            raise DataError(f"{dataset.source}: has no training photographs; put them in images/training")
        self.num_classes = checked_classes(recipe.model.num_classes, len(dataset.names), dataset.source)
        self.scenes = Scenes(recipe, dataset)
        self._news = [start_of(recipe.model)]

    @classmethod
    def open(cls, recipe: SemanticRecipe) -> "SemanticTraining":
        """The training of a recipe, with its dataset found."""
        return cls(recipe, open_scenes(recipe.data))

    @property
    def class_names(self) -> Sequence[str]:
        return self.dataset.names

    @property
    def source(self) -> Scenes:
        return self.scenes

    def build_model(self) -> nn.Module:
        settings = self.recipe.model
        return headed_network(settings, self.num_classes, settings.dropout_rate)

    def news(self) -> list[str]:
        """At the beginning, what the backbone starts from."""
        news, self._news = self._news, []
        return news

    @property
    def training_size(self) -> int:
        return self.scenes.training_size

    def sample(self, index: int, random: np.random.Generator) -> tuple[Tensor, Tensor]:
        """A random view (3, h, w) of a photograph and its classes (h, w) uint8."""
        return self.scenes.sample(index, random)

    def losses(self, model: nn.Module, batch: tuple[Tensor, Tensor], moment: Moment) -> dict[str, Tensor]:
        """The loss and its parts, scalars, on images (B, 3, H, W) and labels (B, H, W)."""
        images, labels = batch
        settings = self.recipe.loss
        parts = semantic_losses(
            model(images),
            labels.long(),
            auxiliary_weight=settings.auxiliary,
            counts_ignored=settings.counts_ignored,
        )
        loss = parts["main"] + parts["auxiliary"]
        return {"loss": loss, **{name: part.detach() for name, part in parts.items()}}

    @property
    def validation_size(self) -> int:
        return self.scenes.validation_size

    def validate(self, model: nn.Module, item: ValidationScene) -> SceneScore:
        names = self.dataset.names
        predicted = label_map(item.photograph, model, self.scenes.preparation, len(names))
        counts = count_pixels(predicted, item.labels, len(names))
        picture = beside_reference(item.photograph, predicted, item.labels, names) if item.is_shown else None
        return SceneScore(counts, picture)

    def summarise(self, results: list[SceneScore]) -> dict[str, float]:
        scores = label_scores(total((result.counts for result in results), len(self.dataset.names)))
        return {"miou": scores.mean_iou, "macc": scores.mean_accuracy, "aacc": scores.pixel_accuracy}

    def pictures(self, results: list[SceneScore]) -> dict[str, np.ndarray]:
        """Photographs, labels and prediction, (H, W, 3) uint8, of those that are shown."""
        shown = [result.picture for result in results if result.picture is not None]
        return {f"photograph {number}": picture for number, picture in enumerate(shown, start=1)}

    def save_weights(self, model: nn.Module, path: Path, scores: dict[str, float]) -> None:
        figures = f"mIoU {scores['miou']:.4f}"
        metadata = run_metadata(
            self.recipe, self.dataset.source, self.num_classes, self.dataset.names, self.scenes.preparation, figures
        )
        save_weights(path, model, metadata)
