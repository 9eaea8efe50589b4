"""Classification of images, as the training loop wants it."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medssm.checkpoints import create_model, save_weights
from medssm.data.layouts.imagenet import ImageDataset
from medssm.errors import DataError, UsageError
from medssm.models import model_info
from medssm.models.info import ImageInput
from medssm.tasks.answers import answers_to, contact_sheet, of_all_batches
from medssm.tasks.classification.distillation import distillation_loss, load_teacher, self_distillation_loss
from medssm.tasks.classification.pictures import colours
from medssm.tasks.classification.samples import ClassificationImages, open_images
from medssm.tasks.classification.settings import ClassificationRecipe, SelfDistillationSettings
from medssm.tasks.networks import checked_classes, run_metadata
from medssm.tasks.scored_files import BatchScore, ScoredBatch, accuracy, score_batch
from medssm.tasks.weights import PUBLISHED
from medssm.training import Moment, Task


class ClassificationTraining(Task):
    """Trains a network on mixed random views of photographs and scores it on the middles of others."""

    score = "top1"
    score_names = ("top1", "top5", "validation_loss")
    unit = "images"

    def __init__(self, recipe: ClassificationRecipe, dataset: ImageDataset) -> None:
        self.recipe, self.dataset = recipe, dataset
        if not len(dataset.training):
            raise DataError(f"{dataset.source}: has no training images; lay them out as train/CLASS/*.jpg")
        self.num_classes = checked_classes(recipe.model.num_classes, len(dataset.classes), dataset.source)
        colours = model_info(recipe.model.name).input
        assert isinstance(colours, ImageInput)  # load_recipe has seen to it
        self.photographs = ClassificationImages(recipe, dataset, self.num_classes, colours)
        parts = {"distillation": recipe.distillation, "self_distillation": recipe.self_distillation}
        self.loss_names = ("loss", "cross_entropy", *(name for name, settings in parts.items() if settings))
        self.teacher: nn.Module | None = None

    @classmethod
    def open(cls, recipe: ClassificationRecipe) -> "ClassificationTraining":
        """The training of a recipe, with its data found."""
        return cls(recipe, open_images(recipe.data))

    @property
    def class_names(self) -> Sequence[str]:
        return self.dataset.names

    @property
    def source(self) -> ClassificationImages:
        return self.photographs

    def prepare(self) -> None:
        """Loads the teacher, where the recipe has one."""
        if self.recipe.distillation:
            self.teacher = load_teacher(self.recipe.distillation, self.num_classes)

    def build_model(self) -> nn.Module:
        settings = self.recipe.model
        start = settings.pretrained
        model: Any = create_model(
            settings.name,
            pretrained=start == PUBLISHED or start or False,
            num_classes=self.num_classes,
            dropout_rate=settings.dropout_rate,
            drop_path_rate=settings.drop_path_rate,
            input_size=settings.input_size,
            arguments=settings.arguments,
        )
        if settings.gradient_checkpointing:
            model.set_grad_checkpointing()
        return model.to(memory_format=self.memory_format)

    @property
    def memory_format(self) -> torch.memory_format:
        return torch.channels_last if self.recipe.model.channels_last else torch.contiguous_format

    @property
    def training_size(self) -> int:
        return self.photographs.training_size

    def sample(self, index: int, random: np.random.Generator) -> tuple[Tensor, int]:
        """A random view (3, H, W) of an image, and its label."""
        return self.photographs.sample(index, random)

    def losses(self, model: nn.Module, batch: tuple[Tensor, Tensor], moment: Moment) -> dict[str, Tensor]:
        """The loss and its parts, scalars, on images (B, 3, H, W) and soft targets (B, num_classes)."""
        images, targets = batch
        images = images.float().to(memory_format=self.memory_format)
        logits, taught = _heads(model(images))
        if taught is not None and self.teacher is None:
            logits = (logits + taught) / 2  # trained as it is evaluated, or the second head would stay random
        loss = entropy = F.cross_entropy(logits, targets)
        parts = {"cross_entropy": entropy.detach()}
        if settings := self.recipe.distillation:
            distance = self.distance_to_teacher(taught, images)
            loss = (1 - settings.alpha) * entropy + settings.alpha * distance
            parts["distillation"] = distance.detach()
        if mesa := self.recipe.self_distillation:
            distance = self.distance_to_average(logits, images, moment, mesa)
            loss = loss + mesa.weight * distance
            parts["self_distillation"] = distance.detach()
        return {"loss": loss, **parts}

    def distance_to_teacher(self, logits: Tensor | None, images: Tensor) -> Tensor:
        """The loss, a scalar, of the second head's logits (B, num_classes) beside the teacher, which sees float32."""
        if logits is None or self.teacher is None or self.recipe.distillation is None:
            raise UsageError(
                f"{self.recipe.model.name}: has no second head to learn from a teacher; set distillation=null"
            )
        with torch.no_grad():
            teacher = self.teacher.to(images.device)(images)
        return distillation_loss(logits, teacher, self.recipe.distillation)

    def distance_to_average(
        self, logits: Tensor, images: Tensor, moment: Moment, settings: SelfDistillationSettings
    ) -> Tensor:
        """The loss, a scalar, of logits (B, num_classes) beside the moving average, 0 before its first epoch."""
        if moment.average is None or moment.epoch < settings.start_epoch:
            return logits.new_zeros(())
        with torch.no_grad(), moment.autocast:
            average = moment.average(images)
        return self_distillation_loss(logits, average.float(), settings)

    @property
    def validation_size(self) -> int:
        return self.photographs.validation_size

    def validate(self, model: nn.Module, item: ScoredBatch) -> BatchScore:
        if item.broken:
            raise DataError(item.broken[0].reason)
        images = item.inputs[:, 0]
        scores = model(images.float().to(memory_format=self.memory_format)).float().log_softmax(1)
        shown = partial(self._shown, images)
        return score_batch(scores, item, answers_to(shown, item.labels, scores) if item.is_shown else [])

    def _shown(self, images: Tensor, place: int) -> np.ndarray:
        return colours(images[place], self.photographs.preparation)

    def summarise(self, results: list[BatchScore]) -> dict[str, float]:
        scores = accuracy(results)
        return {name: scores[name] for name in self.score_names}

    def pictures(self, results: list[BatchScore]) -> dict[str, np.ndarray]:
        """Answers on one sheet, (H, W, 3) uint8."""
        answers = of_all_batches([result.answers for result in results])
        return {"answers": contact_sheet(answers, self.dataset.names)}

    def save_weights(self, model: nn.Module, path: Path, scores: dict[str, float]) -> None:
        figures = f"top-1 {scores['top1']:.4f}"
        metadata = run_metadata(
            self.recipe,
            self.dataset.source,
            self.num_classes,
            self.dataset.names,
            self.photographs.preparation,
            figures,
            self.recipe.model.input_size,
        )
        save_weights(path, model, metadata)


def _heads(output: Tensor | tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor | None]:
    """The logits of a network's head, and those of the one that learns from a teacher, where it has one."""
    return output if isinstance(output, tuple) else (output, None)
