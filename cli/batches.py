"""What predict, classify, detect and segment have in common: files one after the other, told of on the terminal."""

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from signal import SIGINT
from typing import TYPE_CHECKING, Any, Generic, NamedTuple

import typer

from medssm.cli.errors import is_debugging
from medssm.cli.terminal import BatchBar, console, errors
from medssm.tasks.batch import FileResults, Found, Watch
from medssm.tasks.under_way import UnderWay

if TYPE_CHECKING:
    from rich.console import RenderableType

    from medssm.tasks.batch_report import BatchReport
    from medssm.tasks.cost import Cost
    from medssm.tasks.tables import Tables

SOME_FAILED, NONE_SUCCEEDED = 1, 3  # exit codes


class Shown(NamedTuple):
    """What is told of a file that went well: what became of it, after its name, and perhaps a table."""

    text: str = ""
    table: "RenderableType | None" = None


@dataclass
class Batch(Generic[Found]):
    """Files that a command goes through.

    Attributes:
        done: what files that went well are, such as "classified".
        show: what is told of such a file.
        folder: where outputs go and the journal lies; None for a command that writes nothing.
        key: tells the journals of this command from others.
        tables: what is written when all is done.
        report: what is written for other programs.
    """

    files: Sequence[Path]
    done: str
    show: Callable[[Path, Found], Shown]
    folder: Path | None
    key: str
    tables: "Tables[Found] | None" = None
    report: "BatchReport | None" = None

    def run(self, go: Callable[[Watch[Found], UnderWay], FileResults[Found]], model: str = "") -> None:
        """Goes through the files, writes tables and report, tells how it ended.

        Args:
            go: what does it.
            model: the name that the tables give.

        Raises: typer.Exit with a code other than 0, unless all went well.
        """
        under_way = UnderWay(self.folder, self.key)
        if self.tables and not self.tables.overwrite:
            self.tables.known |= under_way.found
        with BatchBar() as bar:
            results = go(_Screen(bar, self.show), under_way)
        try:  # one that cannot be written is no reason to leave out the others
            if self.tables:
                self.tables.write(results, model)
            under_way.close()
        finally:
            try:
                if self.report:
                    self.report.write(self.files, results)
            finally:
                self._tell(results)
        if code := exit_code(results):
            raise typer.Exit(code)

    def _tell(self, results: FileResults[Found]) -> None:
        out = console()
        if len(self.files) > 1:
            for sentence in results.failed.values():
                out.print(f"failed: {sentence}", style="red", highlight=False, soft_wrap=True)
        if results.signal:
            by = "Ctrl-C" if results.signal == SIGINT else "a signal"
            out.print(f"stopped by {by} at {results.stopped}; the same command goes on there", soft_wrap=True)
        counts = f"{len(results.found)} {self.done}, {len(results.skipped)} skipped, {len(results.failed)} failed"
        target = f" -> {self.tables.paths[0]}" if self.tables and self.tables.paths else ""
        out.print(f"{counts}{target}", highlight=False, soft_wrap=True)


def tell_weights(*chosen: Path, model: str = "") -> None:
    """Prints which weights are used, and of which model they are."""
    named = ", ".join(map(str, chosen)) + f" ({model})" * bool(model)
    console().print(f"weights: {named}", highlight=False, soft_wrap=True)


def exit_code(results: FileResults[Any]) -> int:
    """0 if all went well, 1 if some failed, 3 if none succeeded, 128 and the signal that stopped it."""
    if results.signal:
        return 128 + results.signal
    if not results.failed:
        return 0
    return SOME_FAILED if results.found or results.skipped else NONE_SUCCEEDED


class _Screen(Watch[Found]):
    """Tells the terminal what happens to each file: failures to the standard error, all else to the standard output."""

    def __init__(self, bar: BatchBar, show: Callable[[Path, Found], Shown]) -> None:
        self.bar, self.show = bar, show
        self.place = ""

    def begun(self, file: Path, number: int, count: int) -> None:
        self.place = f"{number} of {count}"
        self.bar.begin(file.name, number, count)

    def progress(self, done: int, total: int) -> None:
        self.bar.advance(done / total if total else 0.0)

    def noted(self, file: Path, text: str) -> None:
        self._line(f"{file}: {text}")

    def skipped(self, file: Path, why: str, advice: str) -> None:
        self._line(f"{self.place}: {file}: {why}, skipped{f' ({advice})' * bool(advice)}")

    def failed(self, file: Path, sentence: str, error: Exception | None) -> None:
        with self.bar.aside():
            errors().print(f"failed: {self.place}: {sentence}", style="red", highlight=False, soft_wrap=True)
            if error is not None and is_debugging():
                traceback.print_exception(error)

    def finished(self, file: Path, found: Found, cost: "Cost") -> None:
        shown = self.show(file, found)
        self._line(f"{self.place}, {cost.seconds:.1f} s: {file}{shown.text}")
        if shown.table is not None:
            with self.bar.aside():
                console().print(shown.table)

    def _line(self, text: str) -> None:
        with self.bar.aside():
            console().print(text, highlight=False, soft_wrap=True)
