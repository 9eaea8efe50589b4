"""Images per second and peak memory of whole networks, ours and timm's in turn.

The protocol is the one that MambaVision publishes its figures by (arXiv:2407.08083): standard-normal input, evaluation
mode, no gradients, 10 passes to warm up and 500 that count, and one synchronisation at the end of them; on a GPU under
float16 autocast with channels last. Where a budget of time is given, as it is on a CPU by default, passes are fewer.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from medssm.benchmarks.machine import Machine, this_machine
from medssm.benchmarks.model_memory import peak_memory
from medssm.benchmarks.model_runs import Conditions, Run
from medssm.benchmarks.pairs import Spread, spread
from medssm.benchmarks.subjects import find_subject
from medssm.benchmarks.threads import torch_threads
from medssm.errors import MedssmError, UsageError
from medssm.tasks.failures import ran_out_of_memory

WARM_UP, PASSES = 10, 500
CPU_BATCHES, GPU_BATCHES = (1, 8), (1, 32, 128)


@dataclass(frozen=True)
class Speed:
    """One network at one batch size.

    Attributes:
        shape: of one input: channels, then pixels or frames and pixels.
        warm_up, passes: of each repetition.
        seconds: of all counted passes together, for each repetition; empty if memory ran out.
        peak_memory: bytes, weights included; None where it was not measured.
    """

    model: str
    parameters: int
    shape: tuple[int, ...]
    batch: int
    warm_up: int = 0
    passes: int = 0
    seconds: tuple[float, ...] = ()
    peak_memory: int | None = None

    @property
    def images_per_second(self) -> Spread | None:
        """Over the repetitions; None if memory ran out."""
        return spread([self.batch * self.passes / seconds for seconds in self.seconds]) if self.seconds else None


@dataclass(frozen=True)
class ModelsReport:
    """What `measure_models` found, network by network for each batch size."""

    machine: Machine
    conditions: Conditions
    speeds: tuple[Speed, ...]


def measure_models(
    names: Sequence[str],
    batches: Sequence[int] | None = None,
    conditions: Conditions | None = None,
    *,
    repeats: int = 3,
    memory: bool = True,
    announce: Callable[[Speed], None] | None = None,
) -> ModelsReport:
    """Times networks of random weights, each repetition of one after that of another.

    Args:
        names: of `list_models()`, or of timm's models with "timm:" or "timm/" before them.
        batches: sizes; None for 1 and 8 on a CPU, and 1, 32 and 128 on a GPU.
        repeats: of each network and batch size, warm-up included.
        memory: also measure the peak, on a CPU in a process of its own for each figure (Linux only).
        announce: called with each speed as it is known.

    Raises: UsageError on an unknown name or impossible conditions; MedssmError without a GPU.
    """
    conditions = (conditions or Conditions()).resolved()
    if not names or min(batches or (1,)) < 1 or repeats < 1:
        raise UsageError("give one model or more, batch sizes of 1 or more and 1 repetition or more")
    subjects = [find_subject(name, conditions.size) for name in names]
    speeds: list[Speed] = []
    with torch_threads(conditions.threads):
        machine = this_machine(conditions.device)
        runs = [Run(subject, conditions) for subject in subjects]
        for batch in batches or (CPU_BATCHES if conditions.device == "cpu" else GPU_BATCHES):
            for speed in _in_turn(runs, batch, repeats, memory):
                speeds.append(speed)
                if announce:
                    announce(speed)
    return ModelsReport(machine, conditions, tuple(speeds))


def images_per_second(name: str, batch: int = 1, conditions: Conditions | None = None, *, repeats: int = 3) -> float:
    """The median over repetitions, of one network at one batch size; arguments as in `measure_models`.

    Raises: also MedssmError if memory runs out.
    """
    [speed] = measure_models([name], [batch], conditions, repeats=repeats, memory=False).speeds
    if speed.images_per_second is None:
        raise MedssmError(f"{name}: memory ran out at batch size {batch}; give a smaller one")
    return speed.images_per_second.median


def parse_batches(text: str) -> tuple[int, ...]:
    """Batch sizes from text such as "1,8,32".

    Raises: UsageError on anything else.
    """
    parts = text.split(",")
    if not all(part.strip().isdecimal() and int(part) for part in parts):
        raise UsageError(
            f"batch sizes {text!r}: expected whole numbers of 1 or more with commas between, such as 1,8,32"
        )
    return tuple(int(part) for part in parts)


def affordable(seconds: float, budget: float | None) -> tuple[int, int]:
    """How many passes of so many seconds warm up, and how many count, within a budget; at least one of each."""
    if budget is None:
        return WARM_UP, PASSES
    passes = min(PASSES, max(1, int(budget / seconds)))
    return min(WARM_UP, max(1, passes // 5)), passes


def _in_turn(runs: Sequence[Run], batch: int, repeats: int, memory: bool) -> Iterator[Speed]:
    """One speed for each network; all repetitions are done when the first comes."""
    sessions = [_Session(run, batch) for run in runs]
    for _ in range(repeats):
        for session in sessions:
            session.repeat()
    for session in sessions:
        yield session.speed(memory)


class _Session:
    """The passes of one network at one batch size; what does not fit into memory stops."""

    def __init__(self, run: Run, batch: int) -> None:
        self.run, self.batch = run, batch
        self.warm_up = self.passes = 0
        self.seconds: list[float] = []
        self.fits = self._attempt(self._plan)

    def repeat(self) -> None:
        self.fits = self.fits and self._attempt(self._repeat)

    def speed(self, memory: bool) -> Speed:
        return Speed(
            model=self.run.subject.name,
            parameters=self.run.parameters,
            shape=self.run.subject.shape,
            batch=self.batch,
            warm_up=self.warm_up,
            passes=self.passes,
            seconds=tuple(self.seconds) if self.fits else (),
            peak_memory=peak_memory(self.run, self.batch) if memory and self.fits else None,
        )

    def _plan(self) -> None:
        self.image = self.run.image(self.batch)
        self.run.passes(self.image, 1)  # sets things up, which may take long
        self.warm_up, self.passes = affordable(self.run.passes(self.image, 1), self.run.conditions.budget)

    def _repeat(self) -> None:
        self.run.passes(self.image, self.warm_up)
        self.seconds.append(self.run.passes(self.image, self.passes))

    @staticmethod
    def _attempt(action: Callable[[], None]) -> bool:
        try:
            action()
        except RuntimeError as error:
            if not ran_out_of_memory(error):
                raise
            return False
        return True
