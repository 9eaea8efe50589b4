"""One mutant opened in a process of its own, with bounds on memory and time."""

import json
import os
import resource
import signal
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

from medssm.errors import LONGEST, MedssmError

Outcome = Literal["ok", "own", "foreign", "crash", "slow", "large"]
SECONDS, MIB = 2.0, 200
ENDLESS = 10  # seconds of the processor, after which a process is killed
WAITING = 120  # seconds, after which one that waits is killed
ROOM = 4 << 30  # bytes of address space that it may take


class Verdict(NamedTuple):
    """How a trial ended, and what was said."""

    outcome: Outcome
    said: str


def judged(read: Callable[[Path], object], path: Path) -> Verdict:
    """Reads a file here: it is read, or refused in one sentence; anything else is a fault.

    A sentence is one line of printable letters, no longer than a text of ours may be, its path aside.
    """
    try:
        read(path)
    except MedssmError as error:
        said = str(error).replace(str(path), path.name).replace(str(path.parent), "")
        is_sentence = said.isprintable() and 0 < len(said) <= LONGEST
        return Verdict("own" if is_sentence else "foreign", said)
    except Exception as error:
        return Verdict("foreign", f"{_where(error)}: {type(error).__name__}: {error}")
    return Verdict("ok", "")


def tried(read: Callable[[Path], object], path: Path) -> Verdict:
    """Reads a file in a child of this process, which must have started no thread."""
    receiving, sending = os.pipe()
    child = os.fork()
    if not child:
        os.close(receiving)
        _report(read, path, sending)
    os.close(sending)
    with os.fdopen(receiving, "rb") as pipe:
        content = pipe.read()
    _, status, used = os.wait4(child, 0)
    if not content:
        return Verdict("crash", f"ended by signal {status & 127}, code {status >> 8}, after {used.ru_utime:.1f} s")
    outcome, said, seconds, mib = json.loads(content)
    if outcome in ("ok", "own") and mib > MIB:
        return Verdict("large", f"{mib:.0f} MiB; {said}")
    if outcome in ("ok", "own") and seconds > SECONDS:
        return Verdict("slow", f"{seconds:.1f} s; {said}")
    return Verdict(outcome, said)


def _report(read: Callable[[Path], object], path: Path, sending: int) -> None:
    """In the child: reads, says how it went and how much it took, and ends."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGXCPU, signal.SIG_DFL)
    signal.alarm(WAITING)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (ENDLESS, ENDLESS))
    resource.setrlimit(resource.RLIMIT_AS, (_memory("VmSize") + ROOM, -1))
    before, started = _memory("VmRSS"), time.process_time()
    try:
        verdict = judged(read, path)
        taken = (_memory("VmHWM") - before) / (1 << 20)
        os.write(sending, json.dumps([*verdict, time.process_time() - started, taken]).encode())
    finally:
        os._exit(0)


def _memory(name: str) -> int:
    """Bytes of this process, of a kind that Linux tells."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) << 10 for line in status if line.startswith(f"{name}:"))


def _where(error: Exception) -> str:
    """The last line of the package that an exception went through."""
    trace, places = error.__traceback__, [""]
    while trace:
        file = trace.tb_frame.f_code.co_filename
        if "site-packages" not in file and not file.startswith(sys.base_prefix):
            places.append(f"{Path(file).name}:{trace.tb_lineno}")
        trace = trace.tb_next
    return places[-1]
