"""`medssm detect`: photographs to the objects on them."""

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

    from medssm.tasks.detection.files import ObjectsOfFile
    from medssm.tasks.detection.runner import DetectedObject

ROWS = 20  # of a table


def register(app: typer.Typer) -> None:
    app.command()(detect)


def detect(
    inputs: Images,
    weights: Weights = None,
    run: Run = None,
    model: Model = None,
    out: Annotated[Path, typer.Option(help="Folder for the pictures and objects.json.")] = Path("detections"),
    score: Annotated[float, typer.Option(min=0.0, max=1.0, help="The least that is kept.")] = 0.3,
    json: Annotated[Path | None, typer.Option(help="COCO-format file; by default OUT/objects.json.")] = None,
    csv: Csv = None,
    pictures: Annotated[bool, typer.Option(help="Draw boxes, masks and names on each image.")] = True,
    device: Device = None,
    precision: Arithmetic = Precision.full,
    overwrite: Overwrite = False,
    report: Report = None,
    log: Log = None,
) -> None:
    """Find objects on images: boxes, masks, names and scores."""
    from medssm.allocator import keep_freed_memory
    from medssm.cli.batches import Batch, Shown, tell_weights
    from medssm.files import refuse_unwritable
    from medssm.tasks.batch_report import BatchReport, sha256_of_weights
    from medssm.tasks.detection.files import ObjectTable, detect_files
    from medssm.tasks.files import Photographs, output_paths, refuse_other_inputs
    from medssm.tasks.loading import load_detector
    from medssm.tasks.tables import Tables
    from medssm.tasks.weights import choose

    keep_freed_memory()
    refuse_other_inputs(inputs, "image")
    drawn: dict[Path, Path | None] = {**output_paths(inputs, Photographs(), out, "_objects.jpg")}
    if not pictures:
        drawn = dict.fromkeys(drawn)
    refuse_unwritable([json or out / "objects.json", csv, report, *drawn.values()])
    chosen = choose(weights, run, model, task="detection")
    settings = {"score": score, "precision": precision.value}
    made_by = {"command": "detect", "weights_sha256": sha256_of_weights(chosen), "settings": settings}
    detector = load_detector(chosen, device, model=model, precision=precision.value)
    tables = Tables(ObjectTable(detector.names), json or out / "objects.json", csv, made_by, overwrite)

    def show(file: Path, found: "ObjectsOfFile") -> Shown:
        target = f" -> {drawn[file]}" if drawn[file] else ""
        number = f"{len(found.objects)} object{'s' * (len(found.objects) != 1)}"
        return Shown(f"{target}: {number}", _table(found.objects) if found.objects else None)

    batch = Batch(
        list(drawn),
        "searched",
        show,
        tables.paths[0].parent,
        tables.key,
        tables,
        BatchReport.to(report, made_by, chosen) if report else None,
    )
    tell_weights(chosen, model=detector.model)
    batch.run(
        lambda watch, under_way: detect_files(detector, drawn, score, watch, tables=tables, under_way=under_way),
        detector.model,
    )


def _table(objects: "Sequence[DetectedObject]") -> "Table":
    from medssm.cli.terminal import table

    rows = [
        (found.name, f"{found.score:.2f}", ", ".join(f"{value:.0f}" for value in found.box)) for found in objects[:ROWS]
    ]
    if len(objects) > ROWS:
        rows.append((f"and {len(objects) - ROWS} more", "", ""))
    return table({"class": "left", "score": "right", "left, top, right, bottom": "right"}, rows)
