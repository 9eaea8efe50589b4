"""How many samples a run goes through in a second."""

import time


class Throughput:
    """Counts samples and the time that training them takes, waiting for data included, pauses not."""

    def __init__(self) -> None:
        self._samples, self._seconds = 0, 0.0
        self.resume()

    def resume(self) -> None:
        """The clock runs on from now; what came since the last count is not training."""
        self._mark = time.monotonic()

    def count(self, samples: int) -> None:
        """So many samples have been trained since."""
        self._samples += samples
        self._seconds += time.monotonic() - self._mark
        self.resume()

    def take(self) -> float:
        """Samples per second since the last time this was asked; NaN if there were none."""
        rate = self._samples / self._seconds if self._seconds else float("nan")
        self._samples, self._seconds = 0, 0.0
        return rate
