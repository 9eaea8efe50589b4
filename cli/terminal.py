"""The terminal as every command uses it: where tables go, and one progress bar for going through cases."""

import errno
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console, JustifyMethod
    from rich.progress import Progress, ProgressColumn
    from rich.table import Table

    from medssm.tasks.measured import Table as Figures

LETTERS_OF_NAMES = 30  # beside a bar
WIDTH_OF_FILES = 160  # columns, where the output is no terminal that could tell its own


def console() -> "Console":
    """Standard output; a table is not squeezed into 80 columns on its way to a file or a pipe.

    Text is shown as it is: a path with [brackets] is no markup.
    """
    width = None if sys.stdout.isatty() else shutil.get_terminal_size((WIDTH_OF_FILES, 24)).columns
    return _console(width=width)


def figures_table(title: str, figures: "Figures") -> "Table":
    """Figures as a table, the line that sums the others up set apart."""
    from rich.table import Table

    table = Table(title=title)
    for number, column in enumerate(figures.header):
        table.add_column(column, justify="right" if number else "left")
    for number, row in enumerate(figures.rows, start=1):
        if figures.has_total and number == len(figures.rows):
            table.add_section()
        table.add_row(*row)
    return table


def notices() -> "Console":
    """Standard error, for lines that keep those company who wait; silent when it is no terminal."""
    silent = errors()
    silent.quiet = not silent.is_terminal
    return silent


def errors() -> "Console":
    """Standard error, where text is shown as it is, too."""
    return _console(stderr=True)


def _console(*, stderr: bool = False, width: int | None = None) -> "Console":
    """Rich's own would end the process where nobody reads on, and leave out what is written at the end of a batch."""
    from rich.console import Console

    class RaisingConsole(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))

    return RaisingConsole(stderr=stderr, width=width, markup=False)


def table(columns: Mapping[str, "JustifyMethod"], rows: Iterable[Sequence[str]]) -> "Table":
    """Rows under the names of the columns, each with the side that its cells lie on."""
    from rich.table import Table

    drawn = Table()
    for name, side in columns.items():
        drawn.add_column(name, justify=side)
    for row in rows:
        drawn.add_row(*row)
    return drawn


@contextmanager
def case_progress(title: str) -> Iterator[Callable[[int, int], None]]:
    """A bar with rate and time left, driven by a function of (done, total); silent when the output is no terminal."""
    from rich.progress import MofNCompleteColumn

    with _bar(MofNCompleteColumn()) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


class BatchBar:
    """One bar for many files, which says "3 of 30" and the file's name, and grows within a file, too."""

    def __enter__(self) -> "BatchBar":
        from rich.progress import TaskProgressColumn

        self._bar = _bar(TaskProgressColumn())
        self._task = self._bar.add_task("", total=1)
        self._before = 0
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def begin(self, name: str, number: int, count: int) -> None:
        """The `number`-th of `count` files is gone through."""
        self._before = number - 1
        shown = name if len(name) <= LETTERS_OF_NAMES else f"{name[: LETTERS_OF_NAMES - 1]}…"
        self._bar.update(self._task, total=count, completed=self._before, description=f"{number} of {count} {shown}")

    def advance(self, share: float) -> None:
        """This share of the file is done."""
        self._bar.update(self._task, completed=self._before + share)

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Takes the bar off the terminal while something else is written there."""
        self._bar.stop()
        try:
            yield
        finally:
            self._bar.start()


def _bar(count: "ProgressColumn") -> "Progress":
    """On the standard error; silent when that is no terminal."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    screen = errors()
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), count, TimeRemainingColumn())
    return Progress(*columns, console=screen, disable=not screen.is_terminal, transient=True)
