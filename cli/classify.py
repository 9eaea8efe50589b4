"""`medssm classify`: images and videos to their likeliest classes."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medssm.cli.options import Arithmetic, Csv, Device, Json, Log, Model, Overwrite, Precision, Report, Run, Weights

if TYPE_CHECKING:
    from rich.table import Table

    from medssm.tasks.classifier import Candidate


def register(app: typer.Typer) -> None:
    app.command()(classify)


def classify(
    inputs: Annotated[
        list[Path],
        typer.Argument(metavar="INPUT...", help="Image files, video files for a video model, or folders of them."),
    ],
    weights: Weights = None,
    run: Run = None,
    model: Model = None,
    top: Annotated[int, typer.Option(min=1, help="How many classes to show.")] = 5,
    json: Json = None,
    csv: Csv = None,
    device: Device = None,
    precision: Arithmetic = Precision.full,
    overwrite: Overwrite = False,
    report: Report = None,
    log: Log = None,
) -> None:
    """Name what images or videos show: the likeliest classes with their probabilities."""
    from medssm.allocator import keep_freed_memory
    from medssm.cli.batches import Batch, Shown, tell_weights
    from medssm.files import refuse_unwritable
    from medssm.tasks.batch_report import BatchReport, sha256_of_weights
    from medssm.tasks.classified_files import ClassTable, classify_files
    from medssm.tasks.files import find_files, refuse_other_inputs
    from medssm.tasks.loading import load_classifier
    from medssm.tasks.tables import Tables
    from medssm.tasks.weights import choose

    keep_freed_memory()
    refuse_other_inputs(inputs, "image", "video")
    refuse_unwritable([json, csv, report])
    chosen = choose(weights, run, model)
    settings = {"top": top, "precision": precision.value}
    made_by = {"command": "classify", "weights_sha256": sha256_of_weights(chosen), "settings": settings}
    classifier = load_classifier(chosen, device, model=model, precision=precision.value)
    tables = Tables(ClassTable(), json, csv, made_by, overwrite)
    files = find_files(inputs, classifier.preparation)
    batch = Batch(
        files,
        "classified",
        lambda _, found: Shown(table=_table(found)),
        tables.paths[0].parent if tables.paths else None,
        tables.key,
        tables,
        BatchReport.to(report, made_by, chosen) if report else None,
    )
    tell_weights(chosen, model=classifier.model)
    batch.run(
        lambda watch, under_way: classify_files(classifier, files, top, watch, tables=tables, under_way=under_way),
        classifier.model,
    )


def _table(candidates: "Sequence[Candidate]") -> "Table":
    from medssm.cli.terminal import table

    rows = [(str(found.rank), found.name, f"{found.probability:.2%}") for found in candidates]
    return table({"rank": "right", "class": "left", "probability": "right"}, rows)
