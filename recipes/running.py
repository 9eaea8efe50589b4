"""A recipe trained, or a run continued, in one call."""

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from medssm.errors import UsageError
from medssm.recipes.loading import differing_keys, dump_recipe, load_recipe
from medssm.recipes.planning import PLANNED, plan_recipe
from medssm.tasks import TASKS
from medssm.tasks.settings import Recipe
from medssm.tasks.weights import RUNS, newest_run
from medssm.training import Outcome, RunFolder, fit

# What may be another when a run is continued: its end and its hardware, but nothing that the weights so far stand for.
# Rate and precision are what a run whose loss was not finite needs to be changed.
CHANGEABLE = frozenset(
    {
        "data.folder",
        "optimizer.learning_rate",
        "run.accelerator",
        "run.checkpoint_minutes",
        "run.devices",
        "run.loader_processes",
        "run.loader_threads",
        "run.log_every_steps",
        "run.loggers",
        "run.max_epochs",
        "run.max_minutes",
        "run.max_steps",
        "run.nodes",
        "run.patience",
        "run.precision",
        "validation.batch_size",
    }
)


def train(
    recipe: str | Path | None,
    model: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    folder: str | Path | None = None,
    resume: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> Outcome:
    """Trains a recipe into a new run folder, or continues the run in one.

    Args:
        recipe: a name or the path of a YAML file; may be None with `resume`, as the folder holds it.
        model: one of `medssm models`; None for the recipe's own.
        overrides: dotted key -> value.
        folder: by default runs/<recipe>-<model>-<time>; with `resume`, the newest run in runs.
        say: called with each line of what a plan found and chose.

    Raises: UsageError on wrong settings; what `medssm.training.fit` raises.
    """
    if resume:
        path = Path(folder) if folder else newest_run("recipe.yaml")
        if path is None:
            raise UsageError(f"--resume: there is no run in {RUNS.resolve()}; give its folder with --out")
        settings = continued_recipe(path, recipe, model, overrides or {})
        text = dump_recipe(settings)
    elif recipe is None:
        raise UsageError("give a recipe such as btcv, or --resume to continue a run")
    else:
        settings, text = _settings(recipe, model, overrides, say)
        model_name = settings.model.name.replace(":", "-")  # which no file of Windows has in its name
        named = f"{settings.name}-{model_name}-{datetime.now():%Y%m%d-%H%M%S}"
        path = Path(folder) if folder else RUNS / named
    return fit(TASKS[settings.task].training(settings), settings, path, text, resume)


def _settings(
    recipe: str | Path, model: str | None, overrides: Mapping[str, Any] | None, say: Callable[[str], None]
) -> tuple[Recipe, str]:
    """The settings of a new run, and the recipe that its folder keeps."""
    if str(recipe) != PLANNED:
        settings = load_recipe(recipe, model, overrides)
        return settings, dump_recipe(settings)
    planned = plan_recipe(model, overrides)
    for line in planned.plan.lines:
        say(line)
    return planned.recipe, planned.text


def continued_recipe(
    folder: Path, recipe: str | Path | None, model: str | None, overrides: Mapping[str, Any]
) -> Recipe:
    """The recipe of a run with the changes that a continuation may make.

    Raises: UsageError if there is no run, or a change would make it another one.
    """
    run = RunFolder(folder)
    if not run.recipe.is_file():
        raise UsageError(f"{folder}: holds no run to resume (no recipe.yaml); leave --resume out to start one")
    before = load_recipe(run.recipe)
    named = load_recipe(recipe).name if recipe else before.name
    now = load_recipe(run.recipe, model, {**overrides, "name": named})
    if forbidden := sorted(differing_keys(before, now) - CHANGEABLE):
        raise UsageError(
            f"{folder}: a resumed run keeps its settings, but {', '.join(forbidden)} would change; "
            "leave that out or start a new run with another --out"
        )
    return now
