"""Semantic segmentation of photographs, as the training loop wants it."""

from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor, nn

from medssm.checkpoints import WeightsMetadata, create_model, save_weights
from medssm.data.ade20k import SceneDataset
from medssm.errors import DataError, UsageError
from medssm.inference.semantic import class_colours, label_map
from medssm.metrics.semantic import PixelCounts, count_pixels, label_scores, total
from medssm.models.upernet import semantic_losses
from medssm.recipes.scenes import Scenes, ValidationScene, open_scenes
from medssm.recipes.schema.semantic import SegmenterSettings, SemanticRecipe
from medssm.recipes.weights import PUBLISHED
from medssm.training import Moment, Task
from medssm.viewing.label_maps import label_map_picture

_LONGEST_PANEL = 320  # pixels


class SceneScore(NamedTuple):
    """The pixels of a photograph that were right and wrong, and what it looks like if it is shown."""

    counts: PixelCounts
    picture: np.ndarray | None


class SemanticSegmentation(Task):
    """Trains a network on random views of photographs and scores it on whole other ones, at their own size."""

    score = "miou"
    score_names = ("miou", "macc", "aacc")
    loss_names = ("loss", "main", "auxiliary")
    unit = "images"

    def __init__(self, recipe: SemanticRecipe, dataset: SceneDataset) -> None:
        self.recipe, self.dataset = recipe, dataset
        if not dataset.training:
            raise DataError(f"{dataset.source}: has no training photographs; put them in images/training")
        self.num_classes = checked_classes(recipe.model.num_classes, dataset)
        self.scenes = Scenes(recipe, dataset)

    @property
    def source(self) -> Scenes:
        return self.scenes

    def build_model(self) -> nn.Module:
        return build_segmenter(self.recipe.model, self.num_classes)

    @property
    def training_size(self) -> int:
        return self.scenes.training_size

    def sample(self, index: int, random: np.random.Generator) -> tuple[Tensor, Tensor]:
        return self.scenes.sample(index, random)

    def losses(self, model: nn.Module, batch: tuple[Tensor, Tensor], moment: Moment) -> dict[str, Tensor]:
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
        if not item.is_shown:
            return SceneScore(counts, None)
        photograph = item.photograph.permute(1, 2, 0).cpu().numpy()
        shown, reference = predicted.cpu().numpy(), item.labels.cpu().numpy()
        colours = class_colours(names)
        return SceneScore(counts, label_map_picture(photograph, shown, names, reference, colours, _LONGEST_PANEL))

    def summarise(self, results: list[SceneScore]) -> dict[str, float]:
        scores = label_scores(total((result.counts for result in results), len(self.dataset.names)))
        return {"miou": scores.mean_iou, "macc": scores.mean_accuracy, "aacc": scores.pixel_accuracy}

    def pictures(self, results: list[SceneScore]) -> dict[str, np.ndarray]:
        shown = [result.picture for result in results if result.picture is not None]
        return {f"photograph {number}": picture for number, picture in enumerate(shown, start=1)}

    def save_weights(self, model: nn.Module, path: Path, scores: dict[str, float]) -> None:
        recipe = self.recipe
        metadata = WeightsMetadata(
            model=recipe.model.name,
            head=recipe.model.head,
            head_settings=recipe.model.head_settings,
            num_classes=self.num_classes,
            in_channels=3,
            class_names=dict(enumerate(self.dataset.names)),
            preprocessing=asdict(self.scenes.preparation),
            input_size=(),
            licence="of whoever trained them and of the data",
            source=f"recipe {recipe.name} on {self.dataset.source.name}, validation mIoU {scores['miou']:.4f}",
        )
        save_weights(path, model, metadata)


def open_task(recipe: SemanticRecipe) -> SemanticSegmentation:
    """The task of a recipe, with its dataset found.

    Raises: UsageError or DataError if there is no dataset that it can be run on.
    """
    return SemanticSegmentation(recipe, open_scenes(recipe.data))


def build_segmenter(settings: SegmenterSettings, num_classes: int) -> nn.Module:
    """The network that a recipe starts from.

    Raises: CheckpointError if its weights cannot be had.
    """
    pretrained = settings.pretrained
    model: Any = create_model(
        settings.name,
        head=settings.head,
        head_settings=settings.head_settings,
        num_classes=num_classes,
        dropout_rate=settings.dropout_rate,
        drop_path_rate=settings.drop_path_rate,
        pretrained=True if pretrained == PUBLISHED else pretrained or False,
    )
    if settings.gradient_checkpointing:
        model.set_grad_checkpointing()
    return model


def checked_classes(num_classes: int | None, dataset: SceneDataset) -> int:
    """The number of classes of a network for a dataset; that of the dataset where None was asked for.

    Raises: UsageError if the network would have fewer than the dataset.
    """
    found = len(dataset.names)
    if num_classes is not None and num_classes < found:
        raise UsageError(
            f"{dataset.source}: has {found} classes, but the model has {num_classes}; leave out model.num_classes, or "
            f"train with --set model.num_classes={found}"
        )
    return num_classes or found
