"""How threads wait for each other, told to OpenMP before torch loads it.

By default a thread that has nothing to do spins for milliseconds, which is quickest where every thread has a core of
its own. Where other programs run, a thread spins while the one that it waits for has no core: two threads then take
many times as long as one.
"""

import os
from collections.abc import Mapping

# Whoever sets one of these has chosen how threads wait.
CHOICES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
# Every runtime knows the policy; GNU's, which torch's wheels bring on Linux, still looks a thousand times, some ten
# microseconds, before a thread sleeps: that spares idle machines most of the waking.
SLEEPING = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "1000"}

_ours: dict[str, str] = {}


def let_threads_sleep() -> None:
    """Has threads that wait leave the processor to others, unless the user has chosen how they wait."""
    if not any(name in os.environ for name in CHOICES):
        os.environ.update(SLEEPING)
        _ours.update(SLEEPING)


def keep_threads_awake(settings: Mapping[str, str]) -> None:
    """Takes that back in favour of settings for a measurement, where the user has chosen none of them."""
    for name in _ours:
        os.environ.pop(name, None)
    _ours.clear()
    for name, value in settings.items():
        os.environ.setdefault(name, value)
