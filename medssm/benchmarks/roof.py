"""How fast this machine could compute a scan at best: its rates of exponentials and of multiply-adds, measured."""

import time
from dataclasses import dataclass

import torch

from medssm.kernels import native
from medssm.kernels.native.packing import pack

BLOCK = 2048  # exponentials, or rounds of multiply-adds, in one repetition of a loop of roof.cpp
CHAINS = 12  # independent multiply-adds in a round
LANES = {"avx512": 16, "avx2": 8, "neon": 4, "baseline": 4}
SAMPLE = 0.005  # seconds of each loop
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

    Raises: BackendError if the native library cannot be loaded.
    """

    def __init__(self) -> None:
        self.threads = torch.get_num_threads()
        self.sink = torch.empty(self.threads, 64)
        self.repeats = {name: self._calibrated(name) for name in ("roof_exp2", "roof_fma")}

    def rates(self) -> Rates:
        """The rates at this moment; takes about 10 ms."""
        exp, fma = (self.threads * BLOCK * repeats / self._run(name, repeats) for name, repeats in self.repeats.items())
        return Rates(exp, fma * CHAINS * LANES[native.selected_isa()])

    def read_rate(self) -> float:
        """Bytes a second that all threads together read from memory."""
        data = torch.ones(READ_FLOATS)
        self._run("roof_read", 1, data)
        return 4 * READ_FLOATS / self._run("roof_read", 1, data)

    def _calibrated(self, name: str) -> int:
        """Repetitions of a loop that take about SAMPLE."""
        self._run(name, 10)
        return max(1, round(100 * SAMPLE / self._run(name, 100)))

    def _run(self, name: str, repeats: int, data: torch.Tensor | None = None) -> float:
        address, floats = (0, 0) if data is None else (data.data_ptr(), data.numel())
        start = time.perf_counter()
        native.kernel(name)(pack(self.sink.data_ptr(), address, floats, repeats, self.threads))
        return time.perf_counter() - start
