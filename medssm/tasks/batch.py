"""Many files one after the other: one that fails does not stop the others, and what became of each is kept."""

import logging
import signal
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Generic, Protocol, TypeVar

from medssm.tasks.cost import Cost, measured
from medssm.tasks.failures import failure_sentence
from medssm.tasks.under_way import Entry, UnderWay

log = logging.getLogger(__name__)
Found = TypeVar("Found")
MORE_MEMORY = "close other programs, or give --device cpu"
CRASHED = "ended the process last time; skipped: name it alone, or give --overwrite, to try it again"
REWRITES = "--overwrite writes it again"
_SIGPIPE = 13  # which Windows does not name


class LeftOut(Exception):
    """A file is left as it is: `why`, in words that follow its name, and what to do about it."""

    def __init__(self, why: str, advice: str = "") -> None:
        super().__init__(why)
        self.why, self.advice = why, advice


class Later(Exception):
    """A file is gone through after all others; it must not be raised for one twice."""


class Unfinished(Exception):
    """What was found in a file is to be kept, but an output beside it, such as a picture, failed for its cause."""

    def __init__(self, found: Any) -> None:
        super().__init__()
        self.found = found


@contextmanager
def keeping(found: Any) -> Iterator[None]:
    """Within it outputs are written that only accompany what was found.

    Raises: Unfinished if that fails.
    """
    try:
        yield
    except Exception as error:
        raise Unfinished(found) from error


@dataclass
class FileResults(Generic[Found]):
    """What became of many files, each under its path.

    Attributes:
        found: of those that went well, or but for an output that only accompanies it.
        failed: a sentence for each that did not.
        skipped: why, for each that was left as it was.
        notes: what a person should know of how each was gone through.
        costs: time and memory of those that were gone through.
        stopped: the file that was under way when a signal came.
        signal: its number; 0 if none came.
    """

    found: dict[Path, Found] = field(default_factory=dict)
    failed: dict[Path, str] = field(default_factory=dict)
    skipped: dict[Path, str] = field(default_factory=dict)
    notes: dict[Path, list[str]] = field(default_factory=dict)
    costs: dict[Path, Cost] = field(default_factory=dict)
    stopped: Path | None = None
    signal: int = 0


class Watch(Generic[Found]):
    """What is told while files are gone through; by itself it keeps silent."""

    def begun(self, file: Path, number: int, count: int) -> None:
        """A file comes next, the `number`-th of `count`."""

    def progress(self, done: int, total: int) -> None:
        """So many parts of the file are done."""

    def noted(self, file: Path, text: str) -> None:
        """Something that a person should know of the file."""

    def skipped(self, file: Path, why: str, advice: str) -> None:
        """The file is left as it was; what to do about it, where there is something."""

    def failed(self, file: Path, sentence: str, error: Exception | None) -> None:
        """The file failed; there is no error where an earlier process ended at it."""

    def finished(self, file: Path, found: Found, cost: Cost) -> None:
        """The file went well."""


class Teller(Protocol):
    """What the going through one file may tell."""

    def note(self, text: str) -> None: ...

    def progress(self, done: int, total: int) -> None: ...


def run_on_files(
    files: Sequence[Path],
    run: Callable[[Path, Teller], Found],
    watch: Watch[Found] | None = None,
    *,
    skip: Callable[[Path], str | None] = lambda _: None,
    under_way: UnderWay | None = None,
    try_crashed: bool = False,
    entry: Callable[[Path, Found], Entry] | None = None,
    more_memory: str = MORE_MEMORY,
) -> FileResults[Found]:
    """What `run` gives for each file, until all are done or a signal (Ctrl-C, SIGTERM) stops it.

    Args:
        run: may raise LeftOut for a file that is to be left as it is, Later, and Unfinished.
        skip: why a file is to be left as it is; None for one that is to be gone through.
        under_way: where it is written down which file is gone through. A file at which an earlier process ended counts
            as failed, but for one that is alone or `try_crashed`.
        entry: what is written down of what was found.
        more_memory: what to do where memory ran out.
    """
    batch = _Batch(run, watch or Watch(), under_way or UnderWay(None, ""), entry, more_memory)
    try:
        with _terminable():
            queue = deque(enumerate(files, start=1))
            while queue:
                number, file = queue.popleft()
                batch.results.stopped = file
                batch.watch.begun(file, number, len(files))
                if why := skip(file):
                    batch.skip(file, why, REWRITES)
                elif batch.under_way.has_crashed(file) and len(files) > 1 and not try_crashed:
                    batch.fail(file, f"{file}: {CRASHED}", None)
                elif not batch.go_through(file):
                    queue.append((number, file))
            batch.results.stopped = None
    except (KeyboardInterrupt, BrokenPipeError) as stop:
        batch.results.signal = _signal_of(stop)
        log.warning("stopped by signal %d", batch.results.signal)
    return batch.results


class _Batch(Generic[Found]):
    """The steps of `run_on_files`; it is the teller of the file that is under way."""

    def __init__(
        self,
        run: Callable[[Path, Teller], Found],
        watch: Watch[Found],
        under_way: UnderWay,
        entry: Callable[[Path, Found], Entry] | None,
        more_memory: str,
    ) -> None:
        self.run, self.watch, self.under_way, self.entry, self.more_memory = run, watch, under_way, entry, more_memory
        self.results: FileResults[Found] = FileResults()
        self.progress = watch.progress
        self.file = Path()

    def go_through(self, file: Path) -> bool:
        """Whether that is done: a file may ask to be gone through later."""
        log.info("%s: begun", file)
        self.file = file
        self.under_way.begin(file)
        failure: Exception | None = None
        with measured() as self.results.costs[file], _warnings_to(self._keep_note):
            try:
                found = self.run(file, self)
            except BrokenPipeError:  # nobody reads what is told, which is no fault of the file
                raise
            except Exception as error:  # whatever happens to one file, the others go on
                failure = error
        if isinstance(failure, Unfinished):
            assert isinstance(failure.__cause__, Exception)
            self._keep(file, failure.found)
            self.fail(file, failure_sentence(file, failure.__cause__, self.more_memory), failure.__cause__)
            return True
        if failure is not None:
            self.under_way.end(file)
            return self._without_answer(file, failure)
        self._keep(file, found)
        log.info("%s: done in %.1f s", file, self.results.costs[file].seconds)
        self.watch.finished(file, found, self.results.costs[file])
        return True

    def _keep(self, file: Path, found: Found) -> None:
        self.results.found[file] = found
        self.under_way.end(file, self.entry(file, found) if self.entry else None)

    def _without_answer(self, file: Path, error: Exception) -> bool:
        if isinstance(error, LeftOut | Later):
            del self.results.costs[file]
        if isinstance(error, Later):
            self.note(str(error))
            return False
        if isinstance(error, LeftOut):
            self.skip(file, error.why, error.advice)
        else:
            self.fail(file, failure_sentence(file, error, self.more_memory), error)
        return True

    def fail(self, file: Path, sentence: str, error: Exception | None) -> None:
        self.results.failed[file] = sentence
        log.error("%s", sentence, exc_info=error)
        self.watch.failed(file, sentence, error)

    def skip(self, file: Path, why: str, advice: str) -> None:
        self.results.skipped[file] = why
        log.info("%s: skipped, %s", file, why)
        self.watch.skipped(file, why, advice)

    def note(self, text: str) -> None:
        self._keep_note(text)
        self.watch.noted(self.file, text)

    def _keep_note(self, text: str) -> None:
        self.results.notes.setdefault(self.file, []).append(text)
        log.info("%s: %s", self.file, text)


class _Terminated(KeyboardInterrupt):
    """SIGTERM came."""


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM stops what is under way as Ctrl-C does; only the main thread of a process can be told."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _terminate(number: int, frame: FrameType | None) -> None:
    raise _Terminated


def _signal_of(stop: BaseException) -> int:
    if isinstance(stop, BrokenPipeError):
        return _SIGPIPE
    return int(signal.SIGTERM if isinstance(stop, _Terminated) else signal.SIGINT)


@contextmanager
def _warnings_to(note: Callable[[str], None]) -> Iterator[None]:
    """Warnings are shown as before, and noted."""
    show = warnings.showwarning

    def shown(message: Warning | str, *rest: Any, **others: Any) -> None:
        note(str(message))
        show(message, *rest, **others)

    warnings.showwarning = shown
    try:
        yield
    finally:
        warnings.showwarning = show
