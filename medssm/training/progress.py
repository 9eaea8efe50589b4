"""The bar of a training run; plain lines where there is no terminal."""

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class TrainingBar:
    """Steps done with loss, score, rate and time left.

    Args:
        samples: of a step, and unit: what they are called; None shows the rate of steps alone.
    """

    def __init__(
        self, step: int, total: int, is_silent: bool = False, samples: int = 1, unit: str | None = None
    ) -> None:
        self._console = Console(quiet=is_silent)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(),
            console=self._console,
            disable=is_silent or not self._console.is_terminal,
            transient=True,
        )
        self._figures: dict[str, str] = {}
        self._samples, self._unit = samples, unit
        self._task = self._progress.add_task("training", total=total, completed=step, figures="")

    def __enter__(self) -> "TrainingBar":
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def update(self, step: int, **figures: float) -> None:
        """Moves the bar to `step`; figures that are not given keep their last value."""
        self._figures |= {name: f"{name} {value:.3f}" for name, value in figures.items()}
        speed = self._progress.tasks[0].speed
        rate = [f"{speed:.2f} steps/s"] if speed else []
        if speed and self._unit:
            rate.append(f"{speed * self._samples:.0f} {self._unit}/s")
        self._progress.update(self._task, completed=step, figures="  ".join([*self._figures.values(), *rate]))

    def describe(self, doing: str) -> None:
        """Says what is being done, for example validating."""
        self._progress.update(self._task, description=doing)

    def print(self, sentence: str) -> None:
        """A line above the bar, or a plain line."""
        if self._console.is_terminal:
            self._console.print(sentence, markup=False, highlight=False)
        elif not self._console.quiet:
            print(sentence, flush=True)
