"""What a run tells: train.log, metrics.csv, curves.png, boards such as TensorBoard, and the terminal."""

import csv
from collections.abc import Callable, Sequence
from datetime import datetime
from types import TracebackType

import numpy as np

from medssm.errors import reason_of
from medssm.files import atomic_path
from medssm.training.boards import Board, TensorBoard
from medssm.training.curves import write_curves
from medssm.training.progress import TrainingBar
from medssm.training.run_folder import RunFolder


class Journal:
    """Writes the records of a run; on a process that is not the first it writes nothing.

    Rows of steps that a resumed run goes through again are taken back first, so that each step stands once.

    Args:
        open_boards: opens the boards of the run.
    """

    def __init__(
        self,
        folder: RunFolder,
        columns: Sequence[str],
        step: int,
        bar: TrainingBar,
        is_silent: bool,
        open_boards: Callable[[], list[Board]],
    ) -> None:
        self.folder = folder
        self._open_boards = open_boards
        self.columns = ("step", *columns)
        self.is_silent = is_silent
        self.step = step
        self.bar = bar
        self.is_drawn = True  # curves.png has all rows

    def __enter__(self) -> "Journal":
        if not self.is_silent:
            self._forget_after(self.step)
            self._boards = self._open_boards()
            if self.step:
                self._draw()
        self.bar.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.__exit__(kind, error, trace)
        if not self.is_silent:
            self._on_boards(lambda board: board.close(error is None))
            if error is None and not self.is_drawn:
                self._draw()

    def say(self, sentence: str) -> None:
        """A line in the log and on the terminal."""
        if self.is_silent:
            return
        with open(self.folder.log, "a", encoding="utf-8") as file:
            file.write(f"{datetime.now().isoformat(sep=' ', timespec='seconds')}  {sentence}\n")
        self.bar.print(sentence)

    def record(self, step: int, values: dict[str, float]) -> None:
        """A row of metrics.csv, and the same figures for the boards."""
        if self.is_silent:
            return
        with open(self.folder.metrics, "a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, self.columns).writerow({"step": step, **{k: repr(v) for k, v in values.items()}})
        self.is_drawn = False
        self.chart(step, values)

    def chart(self, step: int, values: dict[str, float]) -> None:
        """Figures for the boards alone: those that another run of the same seed would not repeat."""
        if not self.is_silent:
            self._on_boards(lambda board: board.chart(step, values))

    def show(self, step: int, pictures: dict[str, np.ndarray]) -> None:
        """Pictures (H, W, 3) uint8 of a validation for the boards, and the curves up to here."""
        if self.is_silent:
            return
        self._on_boards(lambda board: board.show(step, pictures))
        self._draw()

    def _on_boards(self, act: Callable[[Board], None]) -> None:
        """Does something on every board; one behind a network that fails is left out from then on, and said."""
        for board in list(self._boards):
            try:
                act(board)
            except Exception as error:  # of a client and of the network behind it: anything
                if isinstance(board, TensorBoard):
                    raise
                self._boards.remove(board)
                why = f"{type(error).__name__}: {reason_of(error)}"
                self.say(f"beware: {board.name} takes no more of this run ({why}); all figures are in metrics.csv")

    def _draw(self) -> None:
        write_curves(self.folder.metrics, self.folder.curves)
        self.is_drawn = True

    def _forget_after(self, step: int) -> None:
        rows: list[dict[str, str]] = []
        if self.folder.metrics.exists():
            with open(self.folder.metrics, newline="", encoding="utf-8") as file:
                rows = [row for row in csv.DictReader(file) if _is_whole(row) and int(row["step"]) <= step]
        with atomic_path(self.folder.metrics) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self.columns, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)


def _is_whole(row: dict[str, str]) -> bool:
    """False for the last row of a process that was killed while it wrote."""
    return row["step"].isdigit() and None not in row.values()
