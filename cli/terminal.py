"""The terminal as every command uses it: where tables go, and one progress bar for going through cases."""

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

WIDTH_OF_FILES = 160  # columns, where the output is no terminal that could tell its own


def console() -> "Console":
    """Standard output; a table is not squeezed into 80 columns on its way to a file or a pipe.

    Text is shown as it is: a path with [brackets] is no markup.
    """
    from rich.console import Console

    width = None if sys.stdout.isatty() else shutil.get_terminal_size((WIDTH_OF_FILES, 24)).columns
    return Console(width=width, markup=False)


def notices() -> "Console":
    """Standard error, for lines that keep those company who wait; silent when it is no terminal."""
    from rich.console import Console

    errors = Console(stderr=True, markup=False)
    errors.quiet = not errors.is_terminal
    return errors


@contextmanager
def case_progress(title: str) -> Iterator[Callable[[int, int], None]]:
    """A bar with rate and time left, driven by a function of (done, total); silent when the output is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    errors = Console(stderr=True)
    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=errors, disable=not errors.is_terminal, transient=True) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
