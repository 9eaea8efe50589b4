"""The C library's allocator, told to keep the memory that is freed."""

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4


def keep_freed_memory() -> bool:
    """Makes glibc keep freed memory for the next tensor, in the whole process; whether it could.

    By default every large tensor is fresh memory that the system must zero first: half of a window's decoder on the
    CPU. A process holds on to its peak instead, so this is for programs and not for a run with a bound on its memory.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False  # another C library, such as musl
    settings = {_M_MMAP_MAX: 0, _M_TRIM_THRESHOLD: 2**31 - 1, _M_TOP_PAD: 512 << 20}
    return all(mallopt(name, value) for name, value in settings.items())
