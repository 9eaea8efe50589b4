"""A progress bar for work on many cases."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Item = TypeVar("Item")


def tracked(items: Iterable[Item], total: int | None, description: str) -> Iterator[Item]:
    """The items as they come, with a bar and an estimate on the error stream; silent where that is no terminal.

    Args:
        total: None if it is not known.
    """
    console = Console(stderr=True)
    columns = (TextColumn(description), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal or total == 0, transient=True) as bar:
        yield from bar.track(items, total=total)
