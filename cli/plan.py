"""`medssm plan`: a recipe fitted to a dataset of scans, with the reason of every value."""

from pathlib import Path
from typing import Annotated

import typer

from medssm.cli.options import Set


def register(app: typer.Typer) -> None:
    app.command()(plan)


def plan(
    folder: Annotated[str, typer.Argument(metavar="DIR", help="A dataset of scans; 'phantom' for the synthetic one.")],
    model: Annotated[str | None, typer.Option(help="One of `medssm models`; by default one for this machine.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write the recipe there; by default it is printed.")] = None,
    memory: Annotated[
        str | None, typer.Option(help="Memory of the training, such as 8G; by default what is free.")
    ] = None,
    max_minutes: Annotated[float | None, typer.Option(help="Length of the training.")] = None,
    settings: Set = None,
) -> None:
    """Read every case once and write a complete recipe for it, to be edited and trained."""
    from medssm import recipes
    from medssm.errors import UsageError
    from medssm.files import atomic_path
    from medssm.tasks.segmentation.memory import parse_memory

    if out is not None and out.exists():
        raise UsageError(f"{out}: is there already; choose another --out")
    given = {"data.folder": folder, **recipes.parse_overrides(settings or [])}
    if max_minutes is not None:
        given |= {"run.max_minutes": max_minutes, "run.max_steps": None, "run.max_epochs": None}
    planned = recipes.plan_recipe(model, given, parse_memory(memory) if memory else None)
    for line in planned.plan.lines:
        typer.echo(line, err=out is None)
    if out is None:
        typer.echo(planned.text, nl=False)
        return
    with atomic_path(out) as temporary:
        temporary.write_text(planned.text, encoding="utf-8")
    typer.echo(f"written to {out}; train it with: medssm train {out}")
