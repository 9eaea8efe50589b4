"""`medssm data`: what is wrong with a dataset, and synthetic ones."""

import json as json_format
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medssm.data.layouts import known_titles

if TYPE_CHECKING:
    from rich.table import Table

    from medssm.data.layouts.findings import DataReport


class MotionLayout(str, Enum):
    """Of which data set of actions."""

    ucf101 = "ucf101"
    hmdb51 = "hmdb51"
    kinetics400 = "kinetics400"


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Check a dataset, or write a synthetic one.", no_args_is_help=True)
    group.command()(check)
    group.command()(phantom)
    group.command()(shapes)
    group.command()(motions)
    group.command()(objects)
    group.command()(scenes)
    app.add_typer(group, name="data")


def check(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR",
            help=f"A folder of {known_titles()}.",
        ),
    ],
    fold: Annotated[int, typer.Option(min=0, help="Which dataset_<fold>.json or fold of splits_final.json.")] = 0,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Read every scan, image or video and list every fault at once; exit code 1 if there is any."""
    from medssm.cli.terminal import case_progress, console
    from medssm.data.layouts.check import check_dataset

    with case_progress("Checking") as progress:
        report = check_dataset(folder, fold, progress)
    if json:
        typer.echo(json_format.dumps(report.as_json(), indent=2))
    else:
        out = console()
        if report.findings:
            out.print(_table(report))
        out.print(_summary(report), highlight=False)
    if report.faults:
        raise typer.Exit(1)


def phantom(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to write it; must be empty or absent.")],
    cases: Annotated[int, typer.Option(min=1, help="Number of cases.")] = 16,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same cases.")] = 0,
) -> None:
    """Write a synthetic abdomen CT dataset with 13 organs in BTCV's layout."""
    from medssm.data.synthetic.phantom import write_phantom

    write_phantom(folder, cases=cases, seed=seed)
    typer.echo(f"{cases} cases written to {folder}")


def shapes(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to write it; must be empty or absent.")],
    training: Annotated[int, typer.Option(min=1, help="Training images per class.")] = 100,
    validation: Annotated[int, typer.Option(min=1, help="Validation images per class.")] = 20,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same images.")] = 0,
) -> None:
    """Write a synthetic dataset to classify: small images of ten patterns, in ImageNet's layout."""
    from medssm.data.synthetic.shapes import write_shapes

    write_shapes(folder, training, validation, seed)
    typer.echo(f"{training} training and {validation} validation images of each class written to {folder}")


def objects(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to write it; must be empty or absent.")],
    training: Annotated[int, typer.Option(min=1, help="Training images.")] = 400,
    validation: Annotated[int, typer.Option(min=1, help="Validation images.")] = 80,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same images.")] = 0,
) -> None:
    """Write a synthetic dataset to detect: drawn objects with boxes, masks and crowds, in COCO's layout."""
    from medssm.data.synthetic.objects import write_objects

    write_objects(folder, training, validation, seed)
    typer.echo(f"{training} training and {validation} validation images written to {folder}")


def scenes(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to write it; must be empty or absent.")],
    training: Annotated[int, typer.Option(min=1, help="Training scenes.")] = 400,
    validation: Annotated[int, typer.Option(min=1, help="Validation scenes.")] = 80,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same scenes.")] = 0,
) -> None:
    """Write a synthetic dataset of label maps: small landscapes of eight classes, in ADE20K's layout."""
    from medssm.data.synthetic.scenes import write_scenes

    write_scenes(folder, training, validation, seed)
    typer.echo(f"{training} training and {validation} validation scenes written to {folder}")


def motions(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to write it; must be empty or absent.")],
    layout: Annotated[MotionLayout, typer.Option(help="Whose folders, names and lists to take.")] = MotionLayout.ucf101,
    training: Annotated[int, typer.Option(min=1, help="Training clips per class.")] = 120,
    validation: Annotated[int, typer.Option(min=1, help="Validation clips per class.")] = 20,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same clips.")] = 0,
) -> None:
    """Write a synthetic dataset of videos: eight motions that no single frame tells apart."""
    from medssm.data.synthetic.motions import write_motions

    write_motions(folder, layout.value, training, validation, seed)
    typer.echo(f"{training} training and {validation} validation clips of each class written to {folder}")


def _table(report: "DataReport") -> "Table":
    from rich.table import Table

    table = Table("file", "what", "finding")
    for finding in (*report.faults, *report.notes):
        file = finding.file.resolve()
        shown = file.relative_to(report.folder.resolve()) if file.is_relative_to(report.folder.resolve()) else file
        style = "dim" if finding.is_note else None
        table.add_row(str(shown), finding.kind, finding.message, style=style)
    return table


def _summary(report: "DataReport") -> str:
    counts = ", ".join(f"{count} {part}" for part, count in report.counts.items())
    faults, notes = len(report.faults), len(report.notes)
    return f"{report.name}: {counts}; {faults or 'no'} fault{'s' * (faults != 1)}, {notes} note{'s' * (notes != 1)}"
