"""`medssm data`: what is wrong with a dataset, and synthetic ones."""

from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medssm.data.layouts import known_titles
from medssm.data.synthetic import SYNTHETIC, SyntheticSet

if TYPE_CHECKING:
    from rich.table import Table

    from medssm.data.layouts.findings import DataReport


Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Where to write it; must be empty or absent.")]
Training = Annotated[int, typer.Option(min=1, help="How many train; of a set of classes, in each class.")]
Validation = Annotated[int, typer.Option(min=1, help="How many validate, likewise.")]
Seed = Annotated[int, typer.Option(min=0, help="The same seed gives the same files.")]


class MotionLayout(str, Enum):
    """Of which data set of actions."""

    ucf101 = "ucf101"
    hmdb51 = "hmdb51"
    kinetics400 = "kinetics400"


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Check a dataset, or write a synthetic one.", no_args_is_help=True)
    group.command()(check)
    own: dict[str, Callable[..., None]] = {"phantom": phantom, "motions": motions}
    for name, row in SYNTHETIC.items():
        group.command(name, help=f"Write a synthetic dataset: {row.shows}.")(own.get(name) or _writing(row))
    app.add_typer(group, name="data")


def check(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR",
            help=f"A folder of {known_titles()}; or its list.",
        ),
    ],
    fold: Annotated[int, typer.Option(min=0, help="Which of the lists' splits, or of its patients' folds.")] = 0,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Read every scan, image or video and list every fault at once; exit code 1 if there is any."""
    from medssm.cli.terminal import case_progress, console
    from medssm.data.layouts.check import check_dataset
    from medssm.files import json_text

    with case_progress("Checking") as progress:
        report = check_dataset(folder, fold, progress)
    if json:
        typer.echo(json_text(report.as_json(), is_ascii=True), nl=False)
    else:
        out = console()
        if report.findings:
            out.print(_table(report))
        out.print(_summary(report), highlight=False)
    if report.faults:
        raise typer.Exit(1)


def phantom(
    folder: Folder,
    cases: Annotated[int, typer.Option(min=1, help="Number of cases.")] = SYNTHETIC["phantom"].defaults["cases"],
    seed: Seed = 0,
) -> None:
    """Write the phantom."""
    SYNTHETIC["phantom"].writer()(folder, cases=cases, seed=seed)
    typer.echo(f"{cases} cases written to {folder}")


def motions(
    folder: Folder,
    layout: Annotated[MotionLayout, typer.Option(help="Whose folders, names and lists to take.")] = MotionLayout.ucf101,
    training: Training = SYNTHETIC["motions"].defaults["training"],
    validation: Validation = SYNTHETIC["motions"].defaults["validation"],
    seed: Seed = 0,
) -> None:
    """Write the clips."""
    row = SYNTHETIC["motions"]
    row.writer()(folder, layout=layout.value, training=training, validation=validation, seed=seed)
    typer.echo(_written(row, training, validation, folder))


def _writing(row: SyntheticSet) -> Callable[..., None]:
    """The command of a set with nothing to choose but how much of it."""

    def write(
        folder: Folder,
        training: Training = row.defaults["training"],
        validation: Validation = row.defaults["validation"],
        seed: Seed = 0,
    ) -> None:
        row.writer()(folder, training=training, validation=validation, seed=seed)
        typer.echo(_written(row, training, validation, folder))

    return write


def _written(row: SyntheticSet, training: int, validation: int, folder: Path) -> str:
    return f"{training} training and {validation} validation {row.counted} written to {folder}"


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
