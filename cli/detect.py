"""`medssm detect`: photographs to the objects on them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medssm.cli.options import Precision

if TYPE_CHECKING:
    from rich.table import Table

    from medssm.tasks.detection.runner import DetectedObject

ROWS = 20  # of a table


def register(app: typer.Typer) -> None:
    app.command()(detect)


def detect(
    inputs: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Image files, or folders of them.")],
    weights: Annotated[Path | None, typer.Option(help="A weights file, ours or a published one.")] = None,
    run: Annotated[Path | None, typer.Option(help="A run folder; by default the newest one in runs.")] = None,
    model: Annotated[str | None, typer.Option(help="The backbone, where the weights may be of several.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the pictures and objects.json.")] = Path("detections"),
    score: Annotated[float, typer.Option(min=0.0, max=1.0, help="The least that is kept.")] = 0.3,
    json: Annotated[Path | None, typer.Option(help="COCO-format file; by default OUT/objects.json.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Write a row per object.")] = None,
    pictures: Annotated[bool, typer.Option(help="Draw boxes, masks and names on each image.")] = True,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1 ...; a GPU if there is one.")] = None,
    precision: Annotated[Precision, typer.Option(help="Of the arithmetic.")] = Precision.full,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Write again what is there already.")] = False,
) -> None:
    """Find objects on images: boxes, masks, names and scores."""
    from medssm.allocator import keep_freed_memory
    from medssm.cli.terminal import case_progress, console
    from medssm.tasks.detection.files import detect_files
    from medssm.tasks.files import Photographs, output_paths, refuse_existing
    from medssm.tasks.loading import load_detector
    from medssm.tasks.weights import choose_trained

    keep_freed_memory()
    drawn: dict[Path, Path | None] = {**output_paths(inputs, Photographs(), out, "_objects.jpg")}
    if not pictures:
        drawn = dict.fromkeys(drawn)
    table = json or out / "objects.json"
    if not overwrite:
        refuse_existing([table, csv, *drawn.values()])
    chosen = choose_trained(weights, run)
    detector = load_detector(chosen, device, model=model, precision=precision.value)
    screen = console()
    screen.print(f"weights: {chosen} ({detector.model})", highlight=False, soft_wrap=True)
    with case_progress("Detecting") as progress:
        found = detect_files(detector, drawn, score, progress)
    for file, seen in found.results.found.items():
        target = f" -> {drawn[file]}" if drawn[file] else ""
        number = f"{len(seen.objects)} object{'s' * (len(seen.objects) != 1)}"
        screen.print(f"{file}{target}: {number}", highlight=False, soft_wrap=True)
        if seen.objects:
            screen.print(_table(seen.objects))
    for sentence in found.results.failed.values():
        screen.print(f"failed: {sentence}", style="red", highlight=False, soft_wrap=True)
    found.write_coco(table)
    if csv:
        found.write_csv(csv)
    counts = f"{len(found.results.found)} searched, {len(found.results.failed)} failed -> {table}"
    screen.print(counts, highlight=False, soft_wrap=True)
    if found.results.failed:
        raise typer.Exit(1)


def _table(objects: "Sequence[DetectedObject]") -> "Table":
    from rich.table import Table

    table = Table()
    for column, side in (("class", "left"), ("score", "right"), ("left, top, right, bottom", "right")):
        table.add_column(column, justify=side)  # type: ignore[arg-type]
    for found in objects[:ROWS]:
        table.add_row(found.name, f"{found.score:.2f}", ", ".join(f"{value:.0f}" for value in found.box))
    if len(objects) > ROWS:
        table.add_row(f"and {len(objects) - ROWS} more", "", "")
    return table
