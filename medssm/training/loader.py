"""Batches prepared ahead, by threads or by processes.

Threads serve where samples are cheap, such as crops of memory-mapped arrays; they cannot hang at exit. Processes serve
where a sample is long at work in Python, such as decoding and augmenting images.
"""

import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from medssm.errors import DataError, MedssmError, UsageError
from medssm.training.randomness import Purpose, generator, samples_of_step
from medssm.training.settings import RunSettings
from medssm.training.task import Source


@dataclass(frozen=True)
class Loader:
    """The batches of one process of a run.

    Attributes:
        batch_size: samples per pass and process.
        passes: batches of each process whose gradients make one step.
        rank, world_size: which share of the step's samples this process prepares. Sample i of a step is the same
            however many processes and passes share the step.
        threads: that prepare batches. processes: that do so in their place, unless it is 0.
    """

    source: Source
    seed: int
    batch_size: int
    passes: int = 1
    rank: int = 0
    world_size: int = 1
    threads: int = 1
    processes: int = 0

    @property
    def samples_per_step(self) -> int:
        return self.batch_size * self.passes * self.world_size

    @property
    def steps_per_epoch(self) -> int:
        return self.source.training_size // self.samples_per_step

    def batch(self, step: int, number: int = 0) -> Any:
        """A batch of a step, always the same one.

        Args:
            number: which of the step's passes.
        """
        source, total = self.source, self.samples_per_step
        indices = samples_of_step(self.seed, step, source.training_size, total, self.batch_size, source.groups)
        share = self.share(number)
        mine = range(share * self.batch_size, (share + 1) * self.batch_size)
        samples = [source.sample(int(indices[i]), generator(self.seed, Purpose.SAMPLE, step, i)) for i in mine]
        return source.collate(samples, generator(self.seed, Purpose.BATCH, step, share))

    def share(self, number: int) -> int:
        """Which part of a step's samples this process has in a pass, counted over processes and passes."""
        return number * self.world_size + self.rank

    def batches(self, start: int, stop: int) -> Iterator[tuple[int, int, Any]]:
        """(step, number of the pass, batch) from step `start` to `stop`.

        Raises: whatever preparing a sample raises, at the step that it belongs to.
        """
        for place, batch in self._ahead(_Batches(self), range(start * self.passes, stop * self.passes)):
            yield *divmod(place, self.passes), batch

    def validation_items(self) -> Iterator[tuple[int, Any]]:
        """(index, item) of this process's share of a validation, every item in one share."""
        return self._ahead(self.source.validation_item, range(self.rank, self.source.validation_size, self.world_size))

    def _ahead(self, prepare: Callable[[int], Any], places: range) -> Iterator[tuple[int, Any]]:
        if self.processes:
            return by_processes(prepare, places, self.processes, type(self.source).__module__)
        return by_threads(prepare, places, self.threads)


@dataclass(frozen=True)
class _Batches:
    """Prepares a batch by its number, counted over steps and passes."""

    loader: Loader

    def __call__(self, place: int) -> Any:
        return self.loader.batch(*divmod(place, self.loader.passes))


def shared_loader(source: Source, run: RunSettings, rank: int, world_size: int) -> Loader:
    """The loader of one of `world_size` processes.

    Raises: UsageError if a step cannot be made of whole batches, or needs more samples than there are.
    """
    batch = run.batch_size * world_size
    total = run.total_batch or batch
    if total % batch:
        raise UsageError(
            f"run.total_batch: {total} samples are no multiple of run.batch_size, {run.batch_size}, on {world_size} "
            "devices; change one of them"
        )
    loader = Loader(
        source, run.seed, run.batch_size, total // batch, rank, world_size, run.loader_threads, run.loader_processes
    )
    if loader.steps_per_epoch == 0:
        key = "run.total_batch" if run.total_batch else "run.batch_size"
        amount = f"{total} samples" if run.total_batch else f"{run.batch_size} samples on {world_size} devices"
        raise UsageError(f"{key}: {amount} are more than the {source.training_size} training samples; lower it")
    return loader


def by_threads(prepare: Callable[[int], Any], places: range, threads: int) -> Iterator[tuple[int, Any]]:
    """(place, what `prepare` makes of it) in order, two per thread prepared ahead."""
    pool = ThreadPoolExecutor(threads, thread_name_prefix="loader")
    rest = iter(places)
    coming: deque[tuple[int, Future[Any]]] = deque()

    def submit(count: int) -> None:
        coming.extend((place, pool.submit(prepare, place)) for place in islice(rest, count))

    try:
        submit(2 * threads)
        while coming:
            place, future = coming.popleft()
            batch = future.result()
            submit(1)
            yield place, batch
    finally:
        pool.shutdown(cancel_futures=True)


def by_processes(
    prepare: Callable[[int], Any], places: range, processes: int, module: str
) -> Iterator[tuple[int, Any]]:
    """The same by processes; what the library raises in one of them is raised here.

    Args:
        module: what the processes will need, imported once for all.

    Raises: DataError if a process has died.
    """
    if not places:
        return
    loader = DataLoader(
        _Places(prepare, places),
        batch_size=None,
        num_workers=min(processes, len(places)),
        multiprocessing_context=_context(module),
        worker_init_fn=_leave_signals_to_the_run,
        generator=torch.Generator(),  # or a seed for the processes would be drawn from the run's own
        pin_memory=torch.cuda.is_available(),
    )
    with _signals_waiting():
        batches = iter(loader)
    for place in places:
        try:
            batch = next(batches)
        except (RuntimeError, OSError, EOFError) as error:
            if str(error).startswith("Caught "):  # in a process that lives
                raise
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise DataError(
                f"a loader process ended unexpectedly ({reason}), most likely for want of memory or of room in "
                "/dev/shm; lower run.loader_processes and continue with --resume"
            ) from error
        if isinstance(batch, MedssmError):
            raise batch
        yield place, batch


class _Places(Dataset[Any]):
    """What is prepared for each place; an error of the library is handed over as a value, to keep its sentence."""

    def __init__(self, prepare: Callable[[int], Any], places: range) -> None:
        self.prepare, self.places = prepare, places

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, position: int) -> Any:
        try:
            return self.prepare(self.places[position])
        except MedssmError as error:
            return error


def _context(module: str) -> Any:
    """How processes are started: not by forking this one, whose threads a fork would leave in the middle of things."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, module])
    return context


def _leave_signals_to_the_run(worker: int) -> None:
    """A Ctrl-C reaches all processes of a terminal; the run ends its step first and then ends the loaders."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def _signals_waiting() -> Iterator[None]:
    """Within it a Ctrl-C waits, where the system can let it, also in the processes that are started."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
