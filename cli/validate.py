"""`medssm validate`: a network on a recipe's validation split."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from medssm.recipes.accuracy import Accuracy
    from medssm.recipes.validation import Validation


def register(app: typer.Typer) -> None:
    app.command()(validate)


def validate(
    recipe: Annotated[str, typer.Argument(help="A recipe's name, such as btcv, or the path of a YAML.")],
    weights: Annotated[str, typer.Option(help="A run folder, a weights file, or 'published' to fetch --model's.")],
    model: Annotated[str | None, typer.Option(help="Whose weights they are; told by the file by default.")] = None,
    data: Annotated[
        str | None, typer.Option(help="The dataset's folder, or 'phantom' or 'synthetic' for one that is made.")
    ] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Images per call of the network.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes that prepare images.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Any key of the recipe; may be repeated.")
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="Write a row per case and organ, or per class.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write summary and rows.")] = None,
) -> None:
    """Score weights on the validation split: Dice of scans in two protocols, or top-1 and top-5 of images."""
    from medssm import recipes
    from medssm.allocator import keep_freed_memory
    from medssm.recipes.schema import ClassificationRecipe

    keep_freed_memory()
    options = {"data.folder": data, "validation.batch_size": batch_size, "run.loader_processes": workers}
    overrides = {key: value for key, value in options.items() if value is not None}
    resolved = recipes.load_recipe(recipe, model, {**overrides, **recipes.parse_overrides(settings or [])})
    outcome: Any
    if isinstance(resolved, ClassificationRecipe):
        outcome = _images(resolved, weights, model)
    else:
        outcome = _scans(resolved, weights, model)
    if csv:
        outcome.write_csv(csv)
    if json:
        outcome.write_json(json)


def _images(recipe: Any, weights: str, model: str | None) -> "Accuracy":
    from medssm.cli.terminal import case_progress, console
    from medssm.recipes.accuracy import measure_accuracy

    with case_progress("Validating") as progress:
        outcome = measure_accuracy(recipe, weights, model, progress)
    console().print(f"{outcome.model}, {outcome.images} validation images of {outcome.dataset}", highlight=False)
    console().print(_accuracy_table(outcome))
    console().print(_preparation(outcome), highlight=False)
    return outcome


def _accuracy_table(outcome: "Accuracy") -> "Table":
    from rich.table import Table

    table = Table("", "top-1", "top-5")
    table.add_row("measured", f"{100 * outcome.top1:.2f} %", f"{100 * outcome.top5:.2f} %")
    if result := outcome.published:
        table.add_row("published", f"{result.value:.1f} %", "")
    return table


def _preparation(outcome: "Accuracy") -> str:
    given, (height, width) = outcome.preparation, outcome.input_size
    how = "shorter side" if given.crop_mode == "center" else "both sides"
    return (
        f"Images as the weights ask for: {how} to {int(height / given.crop_pct)}, {given.interpolation}, middle "
        f"{height} x {width}; {outcome.precision}.{_source(outcome)}"
    )


def _source(outcome: "Accuracy") -> str:
    if (result := outcome.published) is None:
        return ""
    remark = f" ({result.remark})" if result.remark else ""
    return f" Published: {result.metric} on {result.dataset}, {result.source}{remark}."


def _scans(recipe: Any, weights: str, model: str | None) -> "Validation":
    from medssm.cli.terminal import case_progress, console
    from medssm.recipes import validation
    from medssm.recipes.weights import weights_path

    with case_progress("Validating") as progress:
        outcome = validation.validate(recipe, weights_path(weights, model), progress)
    console().print(_table(outcome))
    console().print(_remarks(outcome), highlight=False)
    return outcome


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
