"""`medssm segment`: photographs to the class of each of their pixels."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medssm.cli.options import Precision

if TYPE_CHECKING:
    from rich.table import Table

    from medssm.viewing.label_maps import ClassShare

ROWS = 20  # of a table


def register(app: typer.Typer) -> None:
    app.command()(segment)


def segment(
    inputs: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Image files, or folders of them.")],
    weights: Annotated[Path | None, typer.Option(help="A weights file, ours or a published one.")] = None,
    run: Annotated[Path | None, typer.Option(help="A run folder; by default the newest one in runs.")] = None,
    model: Annotated[str | None, typer.Option(help="The backbone, where the weights may be of several.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the label maps and shares.json.")] = Path("label_maps"),
    overlay: Annotated[bool, typer.Option("--overlay", help="Also draw each label map over its image.")] = False,
    window: Annotated[
        int | None, typer.Option(min=32, help="Side in pixels of windows that slide over the image; by default whole.")
    ] = None,
    own_size: Annotated[
        bool, typer.Option("--own-size", help="Do not resize images; large ones are gone through in windows.")
    ] = False,
    json: Annotated[Path | None, typer.Option(help="Shares of all classes; by default OUT/shares.json.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Write a row per file and class.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1 ...; a GPU if there is one.")] = None,
    precision: Annotated[Precision, typer.Option(help="Of the arithmetic.")] = Precision.full,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Write again what is there already.")] = False,
) -> None:
    """Tell the class of every pixel of images: label maps with a palette, and the share of each class."""
    from medssm.allocator import keep_freed_memory
    from medssm.cli.terminal import case_progress, console
    from medssm.tasks.files import Photographs, output_paths, refuse_existing
    from medssm.tasks.loading import load_segmenter
    from medssm.tasks.semantic.files import Outputs, label_files
    from medssm.tasks.weights import choose_trained

    keep_freed_memory()
    label_maps = output_paths(inputs, Photographs(), out, ".png")
    drawn = output_paths(inputs, Photographs(), out, "_overlay.jpg") if overlay else {}
    outputs = {file: Outputs(path, drawn.get(file)) for file, path in label_maps.items()}
    table = json or out / "shares.json"
    if not overwrite:
        refuse_existing([table, csv, *label_maps.values(), *drawn.values()])
    chosen = choose_trained(weights, run)
    segmenter = load_segmenter(chosen, device, model=model, precision=precision.value)
    screen = console()
    screen.print(f"weights: {chosen} ({segmenter.model})", highlight=False, soft_wrap=True)
    with case_progress("Segmenting") as progress:
        found = label_files(segmenter, outputs, window, own_size, progress)
    for file, seen in found.results.found.items():
        screen.print(f"{file} -> {outputs[file].labels}", highlight=False, soft_wrap=True)
        screen.print(_table(seen.shares))
    for sentence in found.results.failed.values():
        screen.print(f"failed: {sentence}", style="red", highlight=False, soft_wrap=True)
    found.write_json(table)
    if csv:
        found.write_csv(csv)
    counts = f"{len(found.results.found)} segmented, {len(found.results.failed)} failed -> {table}"
    screen.print(counts, highlight=False, soft_wrap=True)
    if found.results.failed:
        raise typer.Exit(1)


def _table(shares: "Sequence[ClassShare]") -> "Table":
    from rich.table import Table

    table = Table()
    for column, side in (("label", "right"), ("class", "left"), ("share", "right")):
        table.add_column(column, justify=side)  # type: ignore[arg-type]
    for share in shares[:ROWS]:
        table.add_row(str(share.label + 1), share.name, f"{share.share:.2%}")
    if len(shares) > ROWS:
        table.add_row("", f"and {len(shares) - ROWS} more", f"{sum(share.share for share in shares[ROWS:]):.2%}")
    return table
