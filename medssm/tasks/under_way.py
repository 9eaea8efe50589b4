"""Which file is under way, written down, so that after a crash the same command goes on with the one behind it."""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

from medssm.tasks.locks import HAS_LOCKS, lock

MARKER = ".medssm-under-way-"
Entry = dict[str, Any]


class UnderWay:
    """A journal in the output folder: a line before a file is begun, and one with what was found when it has ended.

    Its process holds a lock on it, which the system opens when the process ends, however it ends. Journals of the same
    command that nobody holds are what crashed ones left, and are taken over. Where the system or its file system has no
    locks, nothing says whether an owner lives, and no journal is kept; on a full disk none is kept from then on.

    Attributes:
        crashed: files during which a process ended, and which nobody has tried again since; absolute paths.
        found: what crashed processes have found, file -> entry.
    """

    def __init__(self, folder: Path | None, command: str) -> None:
        """`folder` is where outputs go; None for a command that writes nothing, which keeps no journal."""
        self.crashed: set[str] = set()
        self.found: dict[str, Entry] = {}
        self._head = {"command": command, "pid": os.getpid(), "host": socket.gethostname()}
        self._journal: IO[str] | None = None
        self._whole = 0  # bytes of it that say of no file that it is under way
        if folder is None or not HAS_LOCKS:
            return
        folder.mkdir(parents=True, exist_ok=True)
        self._journal = _new_journal(folder)
        if self._journal is None:
            return
        left = list(_left_behind(folder, command))
        for journal in left:
            self._take_over(journal)
        self._write_all()
        for journal in left:
            if self._journal:
                _remove(journal)
            else:
                journal.close()

    def begin(self, file: Path) -> None:
        """To be called before a file is gone through."""
        self._write({"begun": str(file.absolute())})

    def end(self, file: Path, entry: Entry | None = None) -> None:
        """To be called when that is over, well or not; `entry` is what was found."""
        self.crashed.discard(str(file.absolute()))
        self._write({"ended": str(file.absolute()), "entry": entry})
        self._settle()

    def has_crashed(self, file: Path) -> bool:
        """Whether the process that last went through the file ended there."""
        return str(file.absolute()) in self.crashed

    def close(self) -> None:
        """To be called when all is written: nothing is left but which files crashed and were not tried again."""
        if self._journal is None:
            return
        if self.crashed:
            self.found.clear()
            self._journal.seek(0)
            self._journal.truncate()
            self._write_all()
            self._journal.close()
        else:
            _remove(self._journal)

    def _take_over(self, journal: IO[str]) -> None:
        begun: set[str] = set()
        for line in _lines(journal):
            begun |= {line["begun"]} if "begun" in line else set()
            begun.discard(line.get("ended", ""))
            if entry := line.get("entry"):
                self.found[entry["file"]] = entry
        self.crashed |= begun

    def _write_all(self) -> None:
        """All that is known, in the same words: a file that crashed is one that was begun."""
        self._write(self._head)
        for file in self.crashed:
            self._write({"begun": file})
        for entry in self.found.values():
            self._write({"entry": entry})
        self._settle()

    def _settle(self) -> None:
        if self._journal is not None:
            self._whole = os.fstat(self._journal.fileno()).st_size

    def _write(self, line: Entry) -> None:
        if self._journal is None:
            return
        try:
            self._journal.write(json.dumps(line) + "\n")
            self._journal.flush()
        except OSError:  # a full disk, which outputs will tell; what is known so far stays for another process
            with suppress(OSError):
                self._journal.close()
            os.truncate(self._journal.name, self._whole)
            self._journal = None


def _new_journal(folder: Path) -> IO[str] | None:
    """A journal of this process, locked; None where files cannot be locked."""
    journal = open(folder / f"{MARKER}{uuid4().hex}.jsonl", "x+", encoding="utf-8")  # noqa: SIM115
    if lock(journal):
        return journal
    _remove(journal)
    return None


def _left_behind(folder: Path, command: str) -> Iterator[IO[str]]:
    """The journals of a command that nobody holds any more, locked."""
    for path in sorted(folder.glob(f"{MARKER}*")):
        try:
            journal = open(path, "r+", encoding="utf-8", errors="replace")  # noqa: SIM115
        except OSError:
            continue  # of another user, or gone meanwhile
        head = next(_lines(journal), {})
        if head.get("command") == command and lock(journal):
            journal.seek(0)
            yield journal
        else:
            journal.close()


def _lines(journal: IO[str]) -> Iterator[Entry]:
    """Those that are whole: the last one may have been cut."""
    for line in journal:
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict):
            yield found


def _remove(journal: IO[str]) -> None:
    Path(journal.name).unlink(missing_ok=True)
    journal.close()
