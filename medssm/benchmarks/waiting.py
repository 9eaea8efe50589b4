"""Threads that sleep while they wait beside threads that spin, on the machine as it is and on a busy one.

`python -m medssm.benchmarks.waiting NAME` is a process that runs a window whenever it reads a line; `measure_waiting`
starts one for each way of waiting and has them take turns.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from medssm.benchmarks.machine import Machine, this_machine
from medssm.benchmarks.pairs import Spread, spread
from medssm.benchmarks.targets import SLEEPING_IDLE
from medssm.waiting import CHOICES, SLEEPING

MODEL = "mamband-xs"
ONE, SPINNING, ASLEEP = "one thread", "threads that spin", "threads that sleep"
WAYS: Mapping[str, Mapping[str, str]] = {ONE: {"OMP_NUM_THREADS": "1"}, SPINNING: {}, ASLEEP: SLEEPING}
QUIET, BUSY = "alone", "beside busy programs"
WINDOWS = 5  # a sample
# A sample counts as quiet while others take less than this share of the machine.
NOISE = 0.05


class WindowTime(NamedTuple):
    """Seconds of a window, on the clock and of the processor; the share of the machine that others took meanwhile."""

    seconds: float
    processor: float
    others: float


@dataclass(frozen=True)
class WaitingReport:
    """Samples by state of the machine and way of waiting; those of one place were taken one after the other."""

    machine: Machine
    samples: Mapping[str, Mapping[str, Sequence[WindowTime]]]
    target: float = SLEEPING_IDLE

    def seconds(self, state: str, way: str) -> Spread:
        """Of a window, on the clock."""
        return spread([sample.seconds for sample in self.samples[state][way]])

    def slower(self, state: str, beside: str) -> Spread:
        """How many times as long threads that sleep take as another way, in pairs."""
        samples = self.samples[state]
        pairs = zip(samples[ASLEEP], samples[beside], strict=True)
        return spread([ours.seconds / other.seconds for ours, other in pairs])

    @property
    def is_quiet(self) -> bool:
        """Whether nothing else ran when nothing else was meant to."""
        samples = [sample.others for way in self.samples[QUIET].values() for sample in way]
        return statistics.median(samples) < NOISE

    @property
    def reached(self) -> dict[str, bool | None]:
        """Whether sleeping costs no more than the target; None where the machine was not quiet."""
        quiet = self.slower(QUIET, SPINNING).median <= 1 + self.target if self.is_quiet else None
        return {QUIET: quiet, BUSY: self.slower(BUSY, SPINNING).median <= 1}


def measure_waiting(repeats: int = 7) -> WaitingReport:
    """Times windows of a small network with each way of waiting, in turn, alone and beside a busy program a core."""
    samples: dict[str, dict[str, list[WindowTime]]] = {}
    with ExitStack() as stack:
        workers = {way: stack.enter_context(_worker(settings)) for way, settings in WAYS.items()}
        for state in (QUIET, BUSY):
            if state == BUSY:
                stack.enter_context(_busy_programs(os.cpu_count() or 1))
            samples[state] = {way: [] for way in WAYS}
            for _ in range(repeats):
                for way, worker in workers.items():
                    samples[state][way].append(_ask(worker))
    return WaitingReport(this_machine(), samples)


@contextmanager
def _worker(settings: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    environment = {name: value for name, value in os.environ.items() if name not in CHOICES}
    command = [sys.executable, "-m", "medssm.benchmarks.waiting", MODEL]
    with subprocess.Popen(
        command, env={**environment, **settings}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            _ask(process)  # the first one does not count
            yield process
        finally:
            process.kill()


@contextmanager
def _busy_programs(count: int) -> Iterator[None]:
    programs = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for program in programs:
            program.kill()
            program.wait()


def _ask(worker: "subprocess.Popen[str]") -> WindowTime:
    assert worker.stdin is not None
    assert worker.stdout is not None
    worker.stdin.write("\n")
    worker.stdin.flush()
    return WindowTime(*json.loads(worker.stdout.readline()))


def _serve(model: str) -> None:
    import torch

    from medssm.allocator import keep_freed_memory
    from medssm.models import fresh_model, model_info

    keep_freed_memory()
    torch.manual_seed(0)
    network, window = fresh_model(model).eval(), torch.rand(1, 1, *model_info(model).input_size)
    with torch.inference_mode():
        network(window)
        for _ in sys.stdin:
            start, used, all_used = time.perf_counter(), time.process_time(), _used_by_all()
            for _ in range(WINDOWS):
                network(window)
            seconds, own = time.perf_counter() - start, time.process_time() - used
            others = (_used_by_all() - all_used - own) / (seconds * (os.cpu_count() or 1))
            print(json.dumps([seconds / WINDOWS, own / WINDOWS, others]), flush=True)


def _used_by_all() -> float:
    """Seconds of the processors that all programs have used; 0 where the system does not tell."""
    try:
        user, nice, system = Path("/proc/stat").read_text(encoding="utf-8").split()[1:4]
    except OSError:
        return 0.0
    return (int(user) + int(nice) + int(system)) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    _serve(sys.argv[1])
