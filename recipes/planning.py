"""A recipe planned from a dataset: what `medssm plan` writes and `medssm train auto` trains."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch

from medssm.data.scans.fingerprint import fingerprints
from medssm.errors import UsageError
from medssm.models import fresh_model, model_info, plan_arguments
from medssm.models.recompute import Recomputing
from medssm.recipes.loading import dump_recipe, load_recipe
from medssm.tasks.segmentation.plan import Choice, Plan, plan_training
from medssm.tasks.segmentation.samples import number_of_classes, open_scans
from medssm.tasks.segmentation.settings import SegmentationRecipe
from medssm.tasks.segmentation.training_memory import fitting_batch

# The recipe whose values depend on the dataset.
PLANNED = "auto"
_COMMENT = 108  # letters of a reason in a line


@dataclass(frozen=True)
class PlannedRecipe:
    """A recipe with its plan.

    Attributes:
        text: the whole recipe as YAML, the reason of each value that was planned above it.
    """

    recipe: SegmentationRecipe
    plan: Plan
    text: str


def plan_recipe(
    model: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    memory: int | None = None,
    *,
    of_all: bool = False,
) -> PlannedRecipe:
    """The recipe `auto` for the dataset that the overrides name (data.folder).

    Args:
        model: one of `medssm models`; None for mamband-s where there is a GPU, else mamband-xs.
        overrides: dotted key -> value; what is given is not planned.
        memory: bound on the process in bytes; None for what the machine has.
        of_all: plan from the cases that validate as well, for a plan that all folds of a dataset share.

    Raises: UsageError, DataError or GeometryError on a dataset that cannot be read.
    """
    given = dict(overrides or {})
    why_model = "as was asked for"
    if model is None and "model.name" not in given:
        is_gpu = torch.cuda.is_available()
        model = "mamband-s" if is_gpu else "mamband-xs"
        why_model = "there is a GPU" if is_gpu else "there is no GPU, and it learns in minutes without one"
    before = _segmentation(load_recipe(PLANNED, model, given))
    dataset = open_scans(before)
    found = fingerprints(dataset, dataset.training + (dataset.validation if of_all else ()))
    info = model_info(before.model.name)
    plan = plan_training(dataset, found, info, before.run.max_minutes)
    classes = number_of_classes(before.model.num_classes, dataset)
    batch = _batch(before, plan, classes, memory)
    every = (Choice("model.name", info.name, why_model), *plan.choices, batch)
    choices = tuple(choice for choice in every if choice.key not in given or choice.key == "model.name")
    plan = Plan(choices, plan.facts)
    recipe = _segmentation(load_recipe(PLANNED, model, {**plan.settings, **given}))
    return PlannedRecipe(recipe, plan, commented(dump_recipe(recipe), plan.reasons))


def _batch(before: SegmentationRecipe, plan: Plan, classes: int, memory: int | None) -> Choice:
    """The crops a step that fit into memory."""
    settings = plan.settings
    window = settings["augmentation.crops.size"]
    arguments = {"patch_size": patch} if (patch := settings.get("model.arguments.patch_size")) else {}
    channels = len(settings["data.preprocessing.channels"])
    name = before.model.name
    spacing = tuple(settings["data.preprocessing.spacing"])
    arguments = plan_arguments(name, {**before.model.arguments, **arguments}, tuple(window), spacing)
    network = fresh_model(
        name, in_channels=channels, num_classes=classes, input_size=tuple(window), arguments=arguments
    )
    sides = (patch or model_info(name).patch_size) if isinstance(network, Recomputing) else window
    d, h, w = (min(side, 2 * own) for side, own in zip(window, sides, strict=True))
    chosen = fitting_batch(network, tuple(window), (d, h, w), channels, memory)
    return Choice("run.batch_size", chosen.size, chosen.reason)


def commented(text: str, reasons: Mapping[str, str]) -> str:
    """A recipe in YAML with the reasons of its values, by dotted key, in lines above them.

    >>> print(commented("a:\\n  b: 1\\n", {"a.b": "as one is enough"}), end="")
    a:
      # as one is enough
      b: 1
    """
    lines: list[str] = []
    path: list[tuple[int, str]] = []
    for line in text.splitlines():
        indent, key = len(line) - len(line.lstrip()), line.strip().partition(":")[0]
        path = [(depth, name) for depth, name in path if depth < indent] + [(indent, key)]
        if reason := reasons.get(".".join(name for _, name in path)):
            lines += (f"{' ' * indent}# {part}" for part in _wrapped(reason, _COMMENT - indent))
        lines.append(line)
    return "\n".join(lines) + "\n"


def _wrapped(text: str, width: int) -> list[str]:
    import textwrap

    return textwrap.wrap(" ".join(text.split()), width)


def _segmentation(recipe: Any) -> SegmentationRecipe:
    if recipe.data.folder is None:
        raise UsageError(f"{PLANNED}: is planned from a dataset; give --data DIR, or --data phantom to try it")
    return cast(SegmentationRecipe, recipe)
