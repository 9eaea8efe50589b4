"""`medssm evaluate`: label maps against label maps."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medssm.cli.options import LabelNames

if TYPE_CHECKING:
    from rich.table import Table

    from medssm.metrics import Evaluation
    from medssm.metrics.summary import Mean, OrganSummary


def register(app: typer.Typer) -> None:
    app.command()(evaluate)


def evaluate(
    predictions: Annotated[Path, typer.Argument(metavar="PRED", help="A label map or a folder of them.")],
    references: Annotated[Path, typer.Argument(metavar="REF", help="The reference label map or folder.")],
    tolerance: Annotated[float, typer.Option(min=0.0, help="Tolerance of the surface Dice in mm.")] = 2.0,
    csv: Annotated[Path | None, typer.Option(help="Write every score, a row per case and organ.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write summary and scores.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write a report: one page, offline, printable.")] = None,
    scans: Annotated[
        Path | None, typer.Option(metavar="PATH", help="The scan or folder of scans that the report draws on.")
    ] = None,
    cases: Annotated[bool, typer.Option("--cases", help="Also print each case.")] = False,
    mapping: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="LABEL=LABEL",
            help="A label of PRED and the one of REF that it is, as numbers or names: 5=1, liver=Leber; or a file of "
            "such lines. Repeat it for more.",
        ),
    ] = None,
    names: LabelNames = None,
) -> None:
    """Compare label maps with references: Dice, HD95 and surface Dice per organ.

    Which labels are one organ is decided by their names where both label maps carry names, else by their numbers; --map
    says otherwise. A missed organ counts as Dice 0, surface Dice 0 and an HD95 of the scan's diagonal; it is never left
    out.
    """
    from medssm import metrics
    from medssm.cli.terminal import case_progress, console
    from medssm.errors import UsageError
    from medssm.metrics.organs import read_label_names, read_mapping

    if scans and not html:
        raise UsageError("--scans is what a report draws on; give --html report.html as well")
    with case_progress("Comparing") as progress:
        outcome = metrics.evaluate(
            predictions,
            references,
            tolerance,
            read_label_names(names) if names else None,
            progress=progress,
            mapping=read_mapping(mapping or ()),
        )
    out = console()
    try:  # before anything is shown, which perhaps nobody reads
        _write(outcome, csv, json, html, scans)
    finally:
        if cases:
            out.print(_case_table(outcome))
        out.print(summary_table(outcome.summary, outcome.tolerance))
    for note in outcome.notes:
        out.print(note, highlight=False)
    for path in outcome.without_reference:
        out.print(f"no reference for {path}; left out", highlight=False)
    for path in outcome.without_prediction:
        out.print(f"no prediction for {path}; left out of every mean", style="red", highlight=False)
    if outcome.without_prediction:
        raise typer.Exit(1)


def _write(outcome: "Evaluation", csv: Path | None, json: Path | None, html: Path | None, scans: Path | None) -> None:
    if csv:
        outcome.write_csv(csv)
    if json:
        outcome.write_json(json)
    if html:
        from medssm.viewing.report import write_report

        write_report(outcome, html, scans)


def summary_table(rows: "list[OrganSummary]", tolerance: float) -> "Table":
    """Means over cases, an organ a row, with what they are means of."""
    from rich.table import Table

    table = Table(caption=f"mean [95 % bootstrap interval over cases]; surface Dice at {tolerance:g} mm")
    table.add_column("organ")
    columns = ("n", "missed", "absent", "spurious", "Dice", "HD95 (mm)", "surface Dice")
    for column in columns:
        table.add_column(column, justify="right")
    *organs, overall = rows
    for row in (*organs, overall):
        table.add_row(
            row.organ,
            *(str(count) for count in row[1:5]),
            _shown(row.dice, 3),
            _shown(row.hd95, 1),
            _shown(row.surface_dice, 3),
            end_section=row in organs[-1:],
        )
    return table


def _case_table(outcome: "Evaluation") -> "Table":
    from rich.table import Table

    table = Table("case", "organ", "status", "Dice", "HD95 (mm)", "surface Dice", "ml", "reference ml")
    for score in outcome.scores:
        numbers = (score.dice, score.hd95, score.surface_dice, score.volume_ml, score.reference_ml)
        shown = ("-" if number is None else f"{number:.3f}" for number in numbers)
        table.add_row(score.case, score.organ, score.status, *shown)
    return table


def _shown(value: "Mean", digits: int) -> str:
    if value.mean is None:
        return "-"
    return f"{value.mean:.{digits}f} [{value.low:.{digits}f}, {value.high:.{digits}f}]"
