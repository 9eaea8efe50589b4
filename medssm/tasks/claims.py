"""Claims on outputs, so that processes that go through one folder share the work and none does what another does."""

import json
import os
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from medssm.errors import DataError
from medssm.tasks.batch import Later, LeftOut
from medssm.tasks.locks import HAS_LOCKS, lock

# Seconds without a sign of life after which a claim from another host is taken for one of a process that ended.
SILENT = 3600.0
_SIGN_OF_LIFE = 60.0
ENDED_TWICE = "ended two processes; name it alone, or give --overwrite, to try it again"


class Claim:
    """A file that says which process is at an output; it vanishes with the work, and stays if the process ends.

    Its process holds a lock on it, which the system opens when the process ends, however it ends. Where the system or
    its file system has no locks, only the signs of life tell whether the process is still there.

    Attributes:
        deaths: how many processes have ended at this output.
        unfinished: names of the outputs that the last of them may have left without a record.
    """

    def __init__(self, path: Path, file: IO[str], deaths: int, unfinished: Iterable[str]) -> None:
        self.path, self.deaths, self.unfinished = path, deaths, frozenset(unfinished)
        self._file = file
        self._told = time.monotonic()
        self._write(sorted(self.unfinished))

    def will_write(self, outputs: Iterable[Path]) -> None:
        """To be called before the first of the outputs is written."""
        self._write(sorted({*self.unfinished, *(path.name for path in outputs)}))

    def show_life(self) -> None:
        """To be called now and then, for processes on other hosts."""
        if time.monotonic() - self._told > _SIGN_OF_LIFE:
            if self._is_ours():
                os.utime(self.path)
            self._told = time.monotonic()

    def end(self) -> None:
        """Removes the claim, unless another process has taken it over."""
        is_ours = self._is_ours()
        if not HAS_LOCKS:
            self._file.close()  # Windows deletes no open file; elsewhere the lock is held until the name is gone
        if is_ours:
            self.path.unlink(missing_ok=True)

    def _is_ours(self) -> bool:
        """Whether no other process has taken it over; one whose writing failed, and that names no owner, is ours."""
        if not _is_at(self.path, self._file):
            return False
        try:
            owner = _owner(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return False
        return not owner or (owner["host"], owner["pid"]) == (socket.gethostname(), os.getpid())

    def _write(self, outputs: list[str]) -> None:
        owner = {"host": socket.gethostname(), "pid": os.getpid(), "deaths": self.deaths, "outputs": outputs}
        self._file.seek(0)
        self._file.truncate()
        self._file.write(json.dumps(owner) + "\n")
        self._file.flush()


@contextmanager
def claimed(path: Path, *, is_last_try: bool, is_meant: bool) -> Iterator[Claim]:
    """Holds a claim while the block runs.

    A claim on this host whose process has ended is taken over, and one of another host that gave no sign of life for
    SILENT seconds: after all other files, as what is claimed may be what ended the process, and once.

    Args:
        is_last_try: all other files have been gone through.
        is_meant: the user wants this one, whatever it has done to other processes.

    Raises: LeftOut if a process that lives holds it; Later if one has ended at it; DataError if two have.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file, before = _taken(path)
    with file:
        deaths = before.get("deaths", -1) + 1
        if not is_meant and deaths > 1:
            raise DataError(ENDED_TWICE)
        if not is_meant and deaths == 1 and not is_last_try:
            raise Later("a process ended at it; it is tried again after the others")
        try:
            claim = Claim(path, file, deaths, before.get("outputs", ()))
        except OSError:  # one without an owner would count as another's until it is silent
            path.unlink(missing_ok=True)
            raise
        try:
            yield claim
        finally:
            claim.end()


def _taken(path: Path) -> tuple[IO[str], dict[str, Any]]:
    """The claim's file, locked, and what it says: nothing if it is new.

    Raises: LeftOut if a process that lives holds it.
    """
    try:
        file = open(path, "x+", encoding="utf-8")  # noqa: SIM115
    except FileExistsError:
        return _taken_over(path)
    lock(file, wait=True)  # another process may just be looking whether it is held
    return file, {}


def _taken_over(path: Path) -> tuple[IO[str], dict[str, Any]]:
    try:
        file = open(path, "r+", encoding="utf-8")  # noqa: SIM115
    except FileNotFoundError:
        raise LeftOut("was just made by another process") from None
    is_free = lock(file)
    owner = _owner(file.read())
    if is_free is False or not _is_abandoned(file, owner, has_locks=is_free is not None) or not _is_at(path, file):
        file.close()
        who = f"process {owner['pid']} on {owner['host']}" if owner else "another process"
        raise LeftOut(f"{who} is at it")
    return file, owner


def _is_abandoned(file: IO[str], owner: dict[str, Any], has_locks: bool) -> bool:
    """Whether the process that made an unlocked claim has ended: elsewhere locks may not reach this host."""
    if has_locks and owner.get("host") == socket.gethostname():
        return True
    return time.time() - os.fstat(file.fileno()).st_mtime > SILENT


def _owner(text: str) -> dict[str, Any]:
    """What a claim says; nothing if it is being written."""
    try:
        owner = json.loads(text)
        return {"host": str(owner["host"]), "pid": int(owner["pid"]), "deaths": int(owner["deaths"])} | {
            "outputs": [str(name) for name in owner["outputs"]]
        }
    except (ValueError, KeyError, TypeError):
        return {}


def _is_at(path: Path, file: IO[str]) -> bool:
    """Whether the file is still the one of this name: its owner may have done its work and another made a new one."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False
