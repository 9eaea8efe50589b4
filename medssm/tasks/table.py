"""The kinds of recipes: what each says, trains and is measured by. The modules that do it are imported when needed."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import cast

from pydantic import BaseModel

from medssm.models.info import TaskName
from medssm.tasks.measured import Measured
from medssm.tasks.schema import (
    ClassificationRecipe,
    DetectionRecipe,
    Recipe,
    SegmentationRecipe,
    SemanticRecipe,
    VideoRecipe,
)
from medssm.training import Task


@dataclass(frozen=True)
class Kind:
    """What stands behind the `task` of a recipe.

    Attributes:
        schema: what such a recipe says.
        networks: the task of the registry's networks that it trains, whole or as backbones.
        example: the first recipe of the kind.
        training: a module with `open_task(recipe)`, which finds the data and gives the `Task`.
        validation: a module with `measure(recipe, weights, model, progress)`, which gives a `Measured`.
    """

    schema: type[BaseModel]
    networks: TaskName
    example: str
    training: str
    validation: str


TASKS = {
    "segmentation": Kind(
        SegmentationRecipe,
        "segmentation",
        "btcv",
        "medssm.tasks.segmentation.training",
        "medssm.tasks.segmentation.scores",
    ),
    "classification": Kind(
        ClassificationRecipe,
        "classification",
        "imagenet",
        "medssm.tasks.classification.training",
        "medssm.tasks.classification.scores",
    ),
    "detection": Kind(
        DetectionRecipe, "classification", "coco", "medssm.tasks.detection.training", "medssm.tasks.detection.scores"
    ),
    "semantic": Kind(
        SemanticRecipe, "classification", "ade20k", "medssm.tasks.semantic.training", "medssm.tasks.semantic.scores"
    ),
    "video": Kind(VideoRecipe, "video", "ucf101", "medssm.tasks.video.training", "medssm.tasks.video.scores"),
}


def open_task(recipe: Recipe) -> Task:
    """The task that a recipe is run by, with its data found.

    Raises: UsageError or DataError if there is no dataset that it can be run on.
    """
    return cast(Task, import_module(TASKS[recipe.task].training).open_task(recipe))


def measure(
    recipe: Recipe,
    weights: str | Path,
    model: str | None = None,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> Measured:
    """The figures of a network on the validation split of a recipe's dataset.

    Args:
        weights: a run folder, one of our files or a published one; "published" fetches those of `model`.
        model: whose weights they are; None to tell by the file.
        progress: called with (items done, items).

    Raises: UsageError or DataError if there is no dataset; CheckpointError if the weights cannot be used.
    """
    return cast(Measured, import_module(TASKS[recipe.task].validation).measure(recipe, weights, model, progress))
