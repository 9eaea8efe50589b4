"""`medssm weights`: what a weights file holds, and a published file turned into ours."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from medssm.checkpoints import Inspection, WeightsMetadata

File = Annotated[Path, typer.Argument(metavar="FILE", help="A published file, one of ours, or a run folder.")]


def register(app: typer.Typer) -> None:
    group = typer.Typer(name="weights", help="Look into weights files and convert them.", no_args_is_help=True)
    group.command()(inspect)
    group.command()(convert)
    app.add_typer(group)


def inspect(file: File) -> None:
    """Show which model a file is of, what is missing or too many in it, and what it says of itself.

    Nothing in the file is run.
    """
    from rich.table import Table

    from medssm.checkpoints import inspect_weights
    from medssm.cli.terminal import console

    inspection = inspect_weights(file)
    table = Table(title=str(inspection.path), show_header=False)
    for row in _inspection_rows(inspection).items():
        table.add_row(*row)
    console().print(table)


def convert(
    file: File,
    out: Annotated[Path | None, typer.Argument(metavar="OUT", help="By default FILE with .safetensors.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT if it exists.")] = False,
) -> None:
    """Write a published file as ours: safetensors with model, classes, preprocessing, licence and SHA-256."""
    from medssm.checkpoints import convert_weights
    from medssm.cli.terminal import console

    out = out or file.with_suffix(".safetensors")
    metadata = convert_weights(file, out, overwrite=overwrite)
    console().print(
        f"{out}: {metadata.model}{f' with {metadata.head}' if metadata.head else ''}, "
        f"licence {metadata.licence or 'unknown'}",
        highlight=False,
        soft_wrap=True,
    )


def _inspection_rows(found: "Inspection") -> dict[str, str]:
    rows = {
        "format": found.format,
        "system": found.system or "none that is known here",
        "model": f"{found.model} with {found.head}" if found.head else found.model or "-",
        "parameters": f"{found.parameters:,} in {found.entries} entries",
        "missing": _counted(found.missing),
        "too many": _counted(found.extra),
        "other shape": _counted(found.reshaped),
        "dropped": _counted(found.dropped),
        "also says": ", ".join(f"{key} {value}" for key, value in found.notes.items()) or "nothing",
    }
    return rows | (_metadata_rows(found.metadata) if found.metadata else {})


def _metadata_rows(metadata: "WeightsMetadata") -> dict[str, str]:
    return {
        "input": f"{metadata.in_channels} channel, "
        + (f"window {' x '.join(map(str, metadata.input_size))}" if metadata.input_size else "laid out as published"),
        "arguments": ", ".join(f"{key} {value}" for key, value in metadata.arguments.items()) or "as published",
        "classes": ", ".join(f"{label} {name}" for label, name in metadata.class_names.items()),
        "preprocessing": ", ".join(f"{key} {value}" for key, value in metadata.preprocessing.items()),
        "licence": metadata.licence or "unknown",
        "source": metadata.source or "unknown",
        "SHA-256": metadata.sha256 or "not recorded",
    }


def _counted(names: tuple[str, ...], shown: int = 8) -> str:
    if not names:
        return "none"
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return f"{len(names)}: {', '.join(names[:shown])}{more}"
