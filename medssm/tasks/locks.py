"""Locks on files that the system opens when the process that holds them ends, however it ends."""

import errno
from typing import IO

try:
    import fcntl
except ImportError:  # Windows has no locks that say whether their owner lives
    fcntl = None  # type: ignore[assignment]

HAS_LOCKS = fcntl is not None
_HELD = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)


def lock(file: IO[str], *, wait: bool = False) -> bool | None:
    """Whether the file is locked now, or another process holds it; None where there are no locks.

    Some file systems, as those of clusters, have none (ENOLCK, ENOSYS, EOPNOTSUPP): who asks must do without, as where
    the system has none. The lock is held until the file is closed.
    """
    if fcntl is None:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return False if error.errno in _HELD else None
    return True
