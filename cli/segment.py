"""`medssm segment`: photographs to the class of each of their pixels."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medssm.cli.options import (
    Arithmetic,
    Csv,
    Device,
    Images,
    Log,
    Model,
    Overwrite,
    Precision,
    Report,
    Run,
    Weights,
)

if TYPE_CHECKING:
    from rich.table import Table

    from medssm.viewing.label_maps import ClassShare

ROWS = 20  # of a table


def register(app: typer.Typer) -> None:
    app.command()(segment)


def segment(
    inputs: Images,
    weights: Weights = None,
    run: Run = None,
    model: Model = None,
    out: Annotated[Path, typer.Option(help="Folder for the label maps and shares.json.")] = Path("label_maps"),
    overlay: Annotated[bool, typer.Option("--overlay", help="Also draw each label map over its image.")] = False,
    window: Annotated[
        int | None, typer.Option(min=32, help="Side in pixels of windows that slide over the image; by default whole.")
    ] = None,
    own_size: Annotated[
        bool, typer.Option("--own-size", help="Do not resize images; large ones are gone through in windows.")
    ] = False,
    json: Annotated[Path | None, typer.Option(help="Shares of all classes; by default OUT/shares.json.")] = None,
    csv: Csv = None,
    device: Device = None,
    precision: Arithmetic = Precision.full,
    overwrite: Overwrite = False,
    report: Report = None,
    log: Log = None,
) -> None:
    """Tell the class of every pixel of images: label maps with a palette, and the share of each class."""
    from medssm.allocator import keep_freed_memory
    from medssm.cli.batches import Batch, Shown, tell_weights
    from medssm.files import refuse_unwritable
    from medssm.tasks.batch_report import BatchReport, sha256_of_weights
    from medssm.tasks.files import Photographs, output_paths, refuse_other_inputs
    from medssm.tasks.loading import load_segmenter
    from medssm.tasks.semantic.files import Outputs, ShareTable, label_files
    from medssm.tasks.tables import Tables
    from medssm.tasks.weights import choose

    keep_freed_memory()
    refuse_other_inputs(inputs, "image")
    label_maps = output_paths(inputs, Photographs(), out, ".png")
    drawn = output_paths(inputs, Photographs(), out, "_overlay.jpg") if overlay else {}
    outputs = {file: Outputs(path, drawn.get(file)) for file, path in label_maps.items()}
    refuse_unwritable([json or out / "shares.json", csv, report, *label_maps.values()])
    chosen = choose(weights, run, model, task="semantic")
    settings = {"window": window, "own_size": own_size, "precision": precision.value}
    made_by = {"command": "segment", "weights_sha256": sha256_of_weights(chosen), "settings": settings}
    segmenter = load_segmenter(chosen, device, model=model, precision=precision.value)
    tables = Tables(ShareTable(), json or out / "shares.json", csv, made_by, overwrite)
    batch = Batch(
        list(outputs),
        "segmented",
        lambda _, found: Shown(f" -> {found.labels}", _table(found.shares)),
        tables.paths[0].parent,
        tables.key,
        tables,
        BatchReport.to(report, made_by, chosen) if report else None,
    )
    tell_weights(chosen, model=segmenter.model)
    batch.run(
        lambda watch, under_way: label_files(
            segmenter, outputs, window, own_size, watch, tables=tables, under_way=under_way
        ),
        segmenter.model,
    )


def _table(shares: "Sequence[ClassShare]") -> "Table":
    from medssm.cli.terminal import table

    rows = [(str(share.label + 1), share.name, f"{share.share:.2%}") for share in shares[:ROWS]]
    if len(shares) > ROWS:
        rows.append(("", f"and {len(shares) - ROWS} more", f"{sum(share.share for share in shares[ROWS:]):.2%}"))
    return table({"label": "right", "class": "left", "share": "right"}, rows)
