"""How the native recurrences divide their work among threads."""

import torch

# Enough tasks for this many threads. Fixed, so that sums over channels are the same for any number of threads.
TASKS = 16
# A task takes a multiple of this many channels: its blocks fill any vectors, or pairs of them.
VECTOR, PAIR = 16, 32
# Below this many state updates waking a second thread costs more than it saves.
SMALL = 1 << 15


def slice_channels(dim: int, others: int, multiple: int = PAIR) -> tuple[int, int]:
    """Number of slices of `dim` channels, where there are `others` to divide besides, and channels in each.

    A multiple of `multiple`; the last slice may have fewer.

    >>> slice_channels(100, 8)
    (2, 64)
    """
    wanted = -(-TASKS // others)
    size = -(-dim // (wanted * multiple)) * multiple
    return -(-dim // size), size


def threads_for(updates: int) -> int:
    """Threads that so many state updates are worth."""
    return 1 if updates < SMALL else torch.get_num_threads()
