"""`medssm train`: a recipe into a run folder."""

from pathlib import Path
from typing import Annotated, Any

import typer

from medssm.cli.options import Data, RecipeOrNone, Set


def register(app: typer.Typer) -> None:
    app.command()(train)


def train(
    recipe: RecipeOrNone = None,
    model: Annotated[str | None, typer.Option(help="One of `medssm models`; the recipe's own by default.")] = None,
    data: Data = None,
    out: Annotated[Path | None, typer.Option(help="The run folder; by default a new one in runs.")] = None,
    start: Annotated[
        Path | None,
        typer.Option("--from", metavar="RUN", help="Begin a new run with the weights and the recipe of this one."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in --out, or the newest one.")] = False,
    folds: Annotated[
        int | None, typer.Option(min=2, help="Cross-validate: train so many folds of the dataset, one after the other.")
    ] = None,
    fold: Annotated[
        list[int] | None, typer.Option(min=0, help="Train this fold alone; with --folds it may be repeated.")
    ] = None,
    max_steps: Annotated[int | None, typer.Option(min=1, help="End after so many steps.")] = None,
    max_epochs: Annotated[int | None, typer.Option(min=1, help="End after so many epochs.")] = None,
    max_minutes: Annotated[float | None, typer.Option(help="As many steps as fit into this time.")] = None,
    precision: Annotated[str | None, typer.Option(help="auto, 32-true, 16-mixed or bf16-mixed.")] = None,
    devices: Annotated[int | None, typer.Option(min=1, help="GPUs or processes on this machine.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="The same seed gives the same weights.")] = None,
    settings: Set = None,
) -> None:
    """Train a model; stop with Ctrl-C and continue with --resume."""
    from medssm import recipes
    from medssm.allocator import keep_freed_memory

    keep_freed_memory()
    options = {"data.folder": data, "run.precision": precision, "run.devices": devices, "run.seed": seed}
    overrides = {key: value for key, value in options.items() if value is not None}
    if start is not None:
        recipe = recipe or str(_recipe_of(start))
        overrides["model.pretrained"] = str(start)
    overrides |= _length(max_steps, max_epochs, max_minutes) | recipes.parse_overrides(settings or [])
    if folds or (resume and out is not None and recipes.is_cross_validation(out)):
        _train_folds(recipe, model, overrides, out, folds, fold or [], resume)
        return
    if fold:
        overrides |= {"data.fold": _only(fold)}
    outcome = recipes.train(recipe, model, overrides, out, resume, typer.echo)
    if outcome.signal:
        raise typer.Exit(128 + outcome.signal)


def _train_folds(
    recipe: str | None,
    model: str | None,
    overrides: dict[str, Any],
    out: Path | None,
    folds: int | None,
    only: list[int],
    resume: bool,
) -> None:
    from medssm import recipes
    from medssm.cli.terminal import console, figures_table
    from medssm.errors import UsageError

    if out is None:
        raise UsageError("--folds: give the folder that the folds go to with --out")
    done = recipes.train_folds(recipe, model, overrides, out, count=folds, only=only, resume=resume, say=typer.echo)
    if done.outcome and done.outcome.signal:
        raise typer.Exit(128 + done.outcome.signal)
    if done.table:
        console().print(figures_table(done.table.title, done.table.table()))
        console().print(done.table.remarks(), highlight=False)


def _recipe_of(run: Path) -> Path:
    from medssm.errors import UsageError

    if not (run / "recipe.yaml").is_file():
        raise UsageError(
            f"--from {run}: holds no run (no recipe.yaml); give a run folder, or a recipe and "
            f"--set model.pretrained={run}"
        )
    return run / "recipe.yaml"


def _only(fold: list[int]) -> int:
    from medssm.errors import UsageError

    if len(fold) > 1:
        raise UsageError("--fold: give several only with --folds")
    return fold[0]


def _length(max_steps: int | None, max_epochs: int | None, max_minutes: float | None) -> dict[str, Any]:
    """The run's length; one that is given takes the place of the recipe's."""
    lengths = {"run.max_steps": max_steps, "run.max_epochs": max_epochs, "run.max_minutes": max_minutes}
    return lengths if any(lengths.values()) else {}
