"""Options that several commands share, each declared once."""

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from medssm.cli.log import start_log


class Precision(str, Enum):
    """Of the arithmetic of a network that is only run, by the names that recipes use."""

    full = "32-true"
    half = "16-mixed"
    bfloat = "bf16-mixed"


Weights = Annotated[Path | None, typer.Option(help="A weights file, ours or a published one.")]
Run = Annotated[Path | None, typer.Option(help="A run folder; by default the newest one in runs.")]
Runs = Annotated[
    list[Path] | None,
    typer.Option(
        "--run",
        help="A run folder, or one with the folds of a cross-validation; of several the mean. By default the newest.",
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        help="Fetch the published weights of this model; with --weights or --run, which model theirs must be of."
    ),
]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1 ...; a GPU if there is one.")]
Arithmetic = Annotated[Precision, typer.Option("--precision", help="Of the arithmetic.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Write again what is there already.")]
Images = Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Image files, or folders of them.")]
Json = Annotated[Path | None, typer.Option(help="Write what was found, and what failed; added to if it is there.")]
Csv = Annotated[Path | None, typer.Option(help="Write what was found as a table, row by row.")]
Report = Annotated[
    Path | None,
    typer.Option(help="Write what became of each file as JSON: status, notes, seconds, memory; weights and settings."),
]
Log = Annotated[Path | None, typer.Option(callback=start_log, help="Append what happens to this file, with times.")]
VolumeNumber = Annotated[
    int | None, typer.Option("--volume", min=0, help="Which one of a file with several volumes, counted from 0.")
]
FillGaps = Annotated[
    bool, typer.Option("--fill-gaps", help="Resample a DICOM series with missing or uneven slices evenly.")
]

LabelNames = Annotated[
    list[str] | None,
    typer.Option(
        "--names",
        metavar="NUMBER=NAME",
        help="Names of labels, such as 6=liver, or a file of such lines, or btcv; in place of those in the files. "
        "Repeat it for more.",
    ),
]

_RECIPE = typer.Argument(help="A recipe's name, such as btcv, or the path of a YAML.")
Recipe = Annotated[str, _RECIPE]
RecipeOrNone = Annotated[str | None, _RECIPE]
Data = Annotated[
    str | None, typer.Option(help="The dataset's folder, or 'phantom' or 'synthetic' for one that is made.")
]
Set = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Any key of the recipe; may be repeated.")
]
