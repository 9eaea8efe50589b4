"""`medssm classify`: images and videos to their likeliest classes."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medssm.cli.options import Precision

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
    weights: Annotated[Path | None, typer.Option(help="A weights file, ours or a published one.")] = None,
    run: Annotated[Path | None, typer.Option(help="A run folder; by default the newest one in runs.")] = None,
    model: Annotated[
        str | None, typer.Option(help="Fetch its published weights; or, with --weights, whose they are.")
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="How many classes to show.")] = 5,
    json: Annotated[Path | None, typer.Option(help="Write what was found, and what failed.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Write a row per file and class.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1 ...; a GPU if there is one.")] = None,
    precision: Annotated[Precision, typer.Option(help="Of the arithmetic.")] = Precision.full,
) -> None:
    """Name what images or videos show: the likeliest classes with their probabilities."""
    from medssm.allocator import keep_freed_memory
    from medssm.cli.terminal import case_progress, console
    from medssm.tasks.classified_files import classify_files
    from medssm.tasks.files import find_files
    from medssm.tasks.loading import load_classifier
    from medssm.tasks.weights import choose_classifier

    keep_freed_memory()
    chosen = choose_classifier(weights, run, model)
    classifier = load_classifier(chosen, device, model=model, precision=precision.value)
    files = find_files(inputs, classifier.preparation)
    screen = console()
    screen.print(f"weights: {chosen} ({classifier.model})", highlight=False, soft_wrap=True)
    with case_progress("Classifying") as progress:
        found = classify_files(classifier, files, top, progress)
    for file, candidates in found.classes.items():
        screen.print(str(file), highlight=False, soft_wrap=True)
        screen.print(_table(candidates))
    for sentence in found.failed.values():
        screen.print(f"failed: {sentence}", style="red", highlight=False, soft_wrap=True)
    screen.print(f"{len(found.classes)} classified, {len(found.failed)} failed", highlight=False)
    if json:
        found.write_json(json, classifier.model)
    if csv:
        found.write_csv(csv)
    if found.failed:
        raise typer.Exit(1)


def _table(candidates: "Sequence[Candidate]") -> "Table":
    from rich.table import Table

    table = Table()
    for column, side in (("rank", "right"), ("class", "left"), ("probability", "right")):
        table.add_column(column, justify=side)  # type: ignore[arg-type]
    for candidate in candidates:
        table.add_row(str(candidate.rank), candidate.name, f"{candidate.probability:.2%}")
    return table
