"""`medssm validate`: a network on a recipe's validation cases."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from medssm.recipes.validation import Validation


def register(app: typer.Typer) -> None:
    app.command()(validate)


def validate(
    recipe: Annotated[str, typer.Argument(help="A recipe's name, such as btcv, or the path of a YAML.")],
    weights: Annotated[Path, typer.Option(help="A run folder or a weights file, ours or a published one.")],
    data: Annotated[str | None, typer.Option(help="The dataset's folder, or 'phantom' for a synthetic one.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Any key of the recipe; may be repeated.")
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="Write a row per case and organ.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write summary and rows.")] = None,
) -> None:
    """Score weights on the validation split: Dice as it was published and on the scan's own grid, side by side."""
    from medssm import recipes
    from medssm.allocator import keep_freed_memory
    from medssm.cli.terminal import case_progress, console
    from medssm.recipes import validation

    keep_freed_memory()
    overrides = {"data.folder": data} if data else {}
    resolved = recipes.load_recipe(recipe, overrides={**overrides, **recipes.parse_overrides(settings or [])})
    with case_progress("Validating") as progress:
        outcome = validation.validate(resolved, weights, progress)
    console().print(_table(outcome))
    console().print(_remarks(outcome), highlight=False)
    if csv:
        outcome.write_csv(csv)
    if json:
        outcome.write_json(json)


def _table(outcome: "Validation") -> "Table":
    from rich.table import Table

    summary = outcome.summary()
    table = Table("case", title=f"{outcome.model}, {summary['cases']} validation cases of {outcome.dataset}")
    grid = " x ".join(f"{side:g}" for side in outcome.spacing)
    columns = (f"as published: {grid} mm grid, cropped", "... with background", "own grid", "... with background")
    for column in columns:
        table.add_column(column, justify="right")
    for case in outcome.cases:
        means = (m for dice in (case.network_grid, case.own_grid) for m in (dice[1:].nanmean(), dice.nanmean()))
        table.add_row(case.case, *(f"{mean:.4f}" for mean in means))
    table.add_section()
    ours = (summary[grid][key] for grid in ("network_grid", "own_grid") for key in ("dice", "dice_with_background"))
    table.add_row(f"mean of {summary['cases']}", *(f"{mean:.4f}" for mean in ours))
    return table


def _remarks(outcome: "Validation") -> str:
    summary = outcome.summary()
    return (
        f"Each figure is the mean over the organs that a case's reference holds; {summary['absent']} were absent. "
        f"The last case alone, with background, as the original prints it: "
        f"{summary['last_case']['dice_with_background']:.4f} ({summary['last_case']['case']}). {summary['remark']}"
    )
