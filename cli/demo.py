"""`medssm demo`: the whole chain on synthetic scans."""

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    app.command()(demo)


def demo(
    out: Annotated[Path, typer.Option(help="Folder for everything the demo makes.")] = Path("demo"),
    minutes: Annotated[float, typer.Option(min=0.01, help="How long to train.")] = 5.0,
    cases: Annotated[int | None, typer.Option(min=2, help="Scans to train and validate on; 22 by default.")] = None,
) -> None:
    """Train a small network on synthetic scans, segment scans it has never seen, and compare with the truth."""
    from medssm.cli.evaluate import summary_table
    from medssm.cli.terminal import console
    from medssm.recipes.demo import run_demo

    screen = console()
    result = run_demo(out, minutes, cases, say=lambda line: screen.print(line, highlight=False))
    if result is None:
        screen.print("stopped; the same command goes on from here")
        raise typer.Exit(130)
    screen.print(summary_table(result.scores, tolerance=2.0))
    dice = result.scores[-1].dice.mean
    screen.print(f"mean Dice on {result.scores[-1].n} scans that it never saw: {dice:.3f}", highlight=False)
    screen.print("Synthetic scans only: these weights are not fit for patients.", highlight=False)
    places = f"pictures: {result.pictures[0].parent}, label maps: {out / 'predictions'}, report: {out / 'report.html'}"
    screen.print(places, highlight=False, soft_wrap=True)
