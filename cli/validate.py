"""`medssm validate`: a network on a recipe's validation split."""

from pathlib import Path
from typing import Annotated

import typer

from medssm.cli.options import Data, Recipe, Set


def register(app: typer.Typer) -> None:
    app.command()(validate)


def validate(
    recipe: Recipe,
    weights: Annotated[str, typer.Option(help="A run folder, a weights file, or 'published' to fetch --model's.")],
    model: Annotated[str | None, typer.Option(help="Whose weights they are; told by the file by default.")] = None,
    data: Data = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Images per call of the network.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes that prepare images or clips.")] = None,
    settings: Set = None,
    csv: Annotated[Path | None, typer.Option(help="Write the finest figures, such as a row per class.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write all figures.")] = None,
) -> None:
    """Score weights on the validation split of a recipe's dataset, by the measure that is usual for it."""
    from medssm import recipes
    from medssm.allocator import keep_freed_memory
    from medssm.cli.terminal import case_progress, console, figures_table

    keep_freed_memory()
    options = {"data.folder": data, "validation.batch_size": batch_size, "run.loader_processes": workers}
    overrides = {key: value for key, value in options.items() if value is not None}
    resolved = recipes.load_recipe(recipe, model, {**overrides, **recipes.parse_overrides(settings or [])})
    with case_progress("Validating") as progress:
        outcome = recipes.measure(resolved, weights, model, progress)
    try:  # before anything is shown, which perhaps nobody reads
        if csv:
            outcome.write_csv(csv)
        if json:
            outcome.write_json(json)
    finally:
        console().print(figures_table(outcome.title, outcome.table()))
        console().print(outcome.remarks(), highlight=False)
