"""Peak memory of predicting a scan as large as a whole body, under a hard limit on the process.

`python -m medssm.benchmarks.memory` is the process that is limited; `measure_memory` starts it and reads its report.
"""

import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path

from medssm.benchmarks.machine import Machine, this_machine
from medssm.benchmarks.targets import MEMORY
from medssm.errors import MedssmError, UsageError

WHOLE_BODY = (512, 512, 1000)
GIB = 1 << 30


@dataclass(frozen=True)
class MemoryReport:
    """Bytes, and seconds.

    Attributes:
        limit: the process could not have more than this. peak: the most it had in memory.
        estimate: what was announced before the run.
        scores: what the class scores of the whole scan alone would take.
        passes: of the volume, to fit the limit.
    """

    machine: Machine
    shape: tuple[int, int, int]
    classes: int
    limit: int
    peak: int
    estimate: int
    scores: int
    passes: int
    windows: int
    seconds: float


def measure_memory(
    shape: tuple[int, int, int] = WHOLE_BODY, classes: int = 14, limit: int = MEMORY, overlap: float = 0.5
) -> MemoryReport:
    """Predicts a scan of noise with a cheap network in a process of its own that cannot have more than `limit`.

    Raises: UsageError where the system has no such limit; MedssmError if the process ran into it.
    """
    if not sys.platform.startswith("linux"):
        raise UsageError("the memory benchmark needs Linux, whose limits on a process are hard")
    settings = json.dumps({"shape": shape, "classes": classes, "limit": limit, "overlap": overlap})
    command = [sys.executable, "-m", "medssm.benchmarks.memory", settings]
    result = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=False)
    if result.returncode:
        last = result.stderr.strip().splitlines()[-1:] or ["no message"]
        raise MedssmError(f"the prediction did not fit into {limit / GIB:.2f} GiB: {last[0]}")
    report = json.loads(result.stdout)
    return MemoryReport(**{**report, "machine": Machine(**report["machine"]), "shape": tuple(report["shape"])})


def limit_process(limit: int) -> None:
    """Lets this process take no more address space than makes its memory `limit`.

    What is mapped already but not in memory (libraries of several gigabytes) is left out of the account.
    """
    import resource

    status = process_status()
    space = status["VmSize"] + limit - status["VmRSS"]
    resource.setrlimit(resource.RLIMIT_AS, (space, space))


def process_status() -> dict[str, int]:
    """The Vm... lines of /proc/self/status, in bytes; VmRSS is what is in memory, VmHWM the most that ever was."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines if line.startswith("Vm")}


def _predict(shape: tuple[int, int, int], classes: int, limit: int, overlap: float) -> MemoryReport:
    import numpy as np

    from medssm.benchmarks.predict import CheapNetwork
    from medssm.data.scans.preprocessing import Preprocessing
    from medssm.data.scans.volume import Volume
    from medssm.tasks.segmentation.memory import MemoryEstimate
    from medssm.tasks.segmentation.runner import Predictor

    limit_process(limit)
    values = np.random.default_rng(0).integers(-1000, 400, prod(shape), dtype=np.int16).reshape(shape, order="F")
    volume = Volume(values, np.diag([1.5, 1.5, 2.0, 1.0]))
    names = {label: str(label) for label in range(1, classes)}
    predictor = Predictor(CheapNetwork(classes), Preprocessing(), (96, 96, 96), classes, names, device="cpu")
    announced: list[MemoryEstimate] = []
    start = time.perf_counter()
    predictor.predict(volume, overlap=overlap, memory=limit, announce=announced.append)
    return MemoryReport(
        machine=this_machine(),
        shape=shape,
        classes=classes,
        limit=limit,
        peak=process_status()["VmHWM"],
        estimate=announced[0].total,
        scores=4 * classes * prod(shape),
        passes=announced[0].passes,
        windows=announced[0].windows,
        seconds=time.perf_counter() - start,
    )


if __name__ == "__main__":
    print(json.dumps(asdict(_predict(**json.loads(sys.argv[1])))))
