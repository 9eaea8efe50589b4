"""Batches prepared ahead by threads: crops of memory-mapped arrays are cheap, and a thread cannot hang at exit."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any

from medssm.training.randomness import Purpose, generator, samples_of_step
from medssm.training.task import Task


@dataclass(frozen=True)
class Loader:
    """The batches of one process of a run.

    Attributes:
        batch_size: samples per step and process.
        rank, world_size: which share of the step's samples this process prepares. Sample i of a step is the same
            however many processes share the step.
    """

    task: Task
    seed: int
    batch_size: int
    rank: int = 0
    world_size: int = 1
    threads: int = 1

    @property
    def steps_per_epoch(self) -> int:
        return self.task.training_size // (self.batch_size * self.world_size)

    def batch(self, step: int) -> Any:
        """The batch of a step, always the same one."""
        indices = samples_of_step(self.seed, step, self.task.training_size, self.batch_size * self.world_size)
        mine = range(self.rank * self.batch_size, (self.rank + 1) * self.batch_size)
        return self.task.collate(
            [self.task.sample(int(indices[i]), generator(self.seed, Purpose.SAMPLE, step, i)) for i in mine]
        )

    def batches(self, start: int, stop: int) -> Iterator[tuple[int, Any]]:
        """(step, batch) from start to stop, two per thread prepared ahead.

        Raises: whatever preparing a sample raises, at the step that it belongs to.
        """
        pool = ThreadPoolExecutor(self.threads, thread_name_prefix="loader")
        steps = iter(range(start, stop))
        coming: deque[tuple[int, Future[Any]]] = deque()

        def prepare(count: int) -> None:
            coming.extend((step, pool.submit(self.batch, step)) for step in islice(steps, count))

        try:
            prepare(2 * self.threads)
            while coming:
                step, future = coming.popleft()
                batch = future.result()
                prepare(1)
                yield step, batch
        finally:
            pool.shutdown(cancel_futures=True)
