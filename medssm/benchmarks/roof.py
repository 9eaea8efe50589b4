"""How fast this machine could compute a scan at best: its rates of exponentials and of multiply-adds, measured."""

import time
from dataclasses import dataclass

import torch

from medssm.kernels import native
from medssm.kernels.native.packing import pack

BLOCK = 2048  # exponentials, or rounds of multiply-adds, in one repetition of a loop of roof.cpp
CHAINS = 12  # independent multiply-adds in a round
LANES = {"avx512": 16, "avx2": 8, "neon": 4, "baseline": 4}
EXP, FMA = "roof_exp2", "roof_fma"
SAMPLE = 0.005  # seconds of each loop
FIRST_SAMPLES = 10
READ_FLOATS = 1 << 26  # 256 MiB, more than any cache


@dataclass(frozen=True)
class Rates:
    """Single exponentials and multiply-adds a second, by all threads together."""

    exp: float
    fma: float

    def scan_seconds(self, batch: int, dim: int, length: int, state: int, backward: bool) -> float:
        """The least time of a gated selective scan, with its gradient if `backward`.

        Each state: the decay's exponential; dt * A, (dt * u) * B, the update and C * h. Each channel of a token:
        softplus and gate. The gradient adds the same exponentials and five times the multiply-adds of the states.
        """
        tokens = batch * dim * length
        states = tokens * state
        seconds = states * (1 / self.exp + 4 / self.fma) + tokens * (2 / self.exp + 24 / self.fma)
        if backward:
            seconds += states * (1 / self.exp + 20 / self.fma) + tokens * (2 / self.exp + 40 / self.fma)
        return seconds


class Roof:
    """Measures the machine's rates, by the kernels' own instructions on as many threads as torch uses.

    Attributes:
        best: the highest rates so far; what else runs on the machine only ever lowers one.

    Raises: BackendError if the native library cannot be loaded.
    """

    def __init__(self) -> None:
        self.threads = torch.get_num_threads()
        self.sink = torch.empty(self.threads, 64)
        self.repeats = {name: self._calibrated(name) for name in (EXP, FMA)}
        self.best = Rates(0, 0)
        for _ in range(FIRST_SAMPLES):
            self.sample()

    def sample(self) -> None:
        """Measures both rates once more, for about 10 ms."""
        exp, fma = (self.threads * BLOCK * count / self._run(name, count) for name, count in self.repeats.items())
        lanes = LANES[native.selected_isa()]
        self.best = Rates(max(self.best.exp, exp), max(self.best.fma, fma * CHAINS * lanes))

    def read_rate(self) -> float:
        """Bytes a second that all threads together read from memory."""
        data = torch.ones(READ_FLOATS)
        return 4 * READ_FLOATS / min(self._run("roof_read", 1, data=data) for _ in range(FIRST_SAMPLES))

    def _calibrated(self, name: str) -> int:
        """Repetitions of a loop that take about SAMPLE, found on one thread, which need not wait for another."""
        self._run(name, 100, threads=1)
        return max(1, round(100 * SAMPLE / self._run(name, 100, threads=1)))

    def _run(self, name: str, repeats: int, *, threads: int | None = None, data: torch.Tensor | None = None) -> float:
        address, floats = (0, 0) if data is None else (data.data_ptr(), data.numel())
        arguments = pack(self.sink.data_ptr(), address, floats, repeats, threads or self.threads)
        start = time.perf_counter()
        native.kernel(name)(arguments)
        return time.perf_counter() - start
