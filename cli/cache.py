"""`medssm cache`: what was kept to be used again, and how to be rid of it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from medssm.cache import Kept


def register(app: typer.Typer) -> None:
    app.command()(cache)


def cache(
    kind: Annotated[str | None, typer.Argument(help="One kind of what is kept, such as preprocessed.")] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Delete it.")] = False,
) -> None:
    """Show what lies in the cache (preprocessed scans, synthetic datasets, fetched weights), or delete it."""
    from medssm.cache import clear_cache, kept
    from medssm.cli.terminal import console
    from medssm.files import cache_folder

    screen = console()
    if clear:
        freed = clear_cache(kind)
        screen.print(f"{cache_folder()}: {freed / 2**20:.1f} MiB deleted", highlight=False, soft_wrap=True)
    else:
        screen.print(_table(cache_folder(), kept(kind)))


def _table(folder: Path, entries: "list[Kept]") -> "Table":
    from rich.table import Table

    table = Table("kind", "what it is", title=str(folder), caption="MEDSSM_CACHE sets another folder; --clear deletes")
    for column in ("files", "MiB", "last used"):
        table.add_column(column, justify="right")
    for entry in entries:
        used = f"{entry.last_used:%Y-%m-%d}" if entry.last_used else ""
        table.add_row(entry.kind, entry.what, str(entry.files), f"{entry.size / 2**20:.1f}", used)
    return table
