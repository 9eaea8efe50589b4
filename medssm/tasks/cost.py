"""What going through a file costs: time, and the memory of the process."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_PROCESS = Path("/proc/self")


@dataclass
class Cost:
    """Seconds, and the largest number of bytes that the process had in memory; None where the system does not tell."""

    seconds: float = 0.0
    peak_memory: int | None = None


@contextmanager
def measured() -> Iterator[Cost]:
    """A cost that is filled in when the block ends, however it ends."""
    cost, begun = Cost(), time.monotonic()
    is_told = _forget_peak()
    try:
        yield cost
    finally:
        cost.seconds = time.monotonic() - begun
        cost.peak_memory = _peak() if is_told else None


def _forget_peak() -> bool:
    """Has Linux count the peak from now on; False where it cannot be had."""
    try:
        (_PROCESS / "clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _peak() -> int | None:
    lines = (_PROCESS / "status").read_text(encoding="utf-8").splitlines()
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), None)
