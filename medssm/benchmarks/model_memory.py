"""Peak memory of a network.

`python -m medssm.benchmarks.model_memory` is the process that is measured on a CPU; `peak_memory` starts it and reads
its figure. Only a fresh process tells what one network takes there: memory that is given back stays with a process.
"""

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import torch

from medssm.benchmarks.memory import process_status
from medssm.benchmarks.model_runs import Conditions, Run
from medssm.benchmarks.subjects import find_subject
from medssm.benchmarks.threads import torch_threads
from medssm.errors import MedssmError
from medssm.kernels import native

PASSES = 2  # a second one finds its memory where the first left it, or does not


def peak_memory(run: Run, batch: int) -> int | None:
    """Bytes of weights, input and passes at most: on a GPU of tensors, on a CPU what a process grows by.

    None for a CPU where the system is no Linux, which alone tells the peak.

    Raises: MedssmError if the process fails, as it does where memory runs out.
    """
    if run.device.type == "cuda":
        others = run.held() - run.weights
        torch.cuda.reset_peak_memory_stats(run.device)
        run.passes(run.image(batch), 1)
        return torch.cuda.max_memory_allocated(run.device) - others
    if not sys.platform.startswith("linux"):
        return None
    settings = {**asdict(run.conditions), "threads": torch.get_num_threads()}
    task = json.dumps({"name": run.subject.name, "batch": batch, "conditions": settings})
    command = [sys.executable, "-m", "medssm.benchmarks.model_memory", task]
    result = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=False)
    if result.returncode:
        last = result.stderr.strip().splitlines()[-1:] or [f"exit code {result.returncode}"]
        raise MedssmError(f"{run.subject.name}: its memory at batch size {batch} could not be measured: {last[0]}")
    return int(result.stdout)


def _growth(name: str, batch: int, conditions: Conditions) -> int:
    """Bytes that this process grows by at most, from a network that is not built yet to its last pass."""
    subject = find_subject(name, conditions.size)
    native.unavailable()  # loads the kernels
    with torch_threads(conditions.threads):
        torch.nn.functional.conv2d(torch.rand(1, 8, 64, 64), torch.rand(8, 8, 3, 3))  # starts threads and libraries
        _forget_peak()
        before = process_status()["VmRSS"]
        run = Run(subject, conditions)
        run.passes(run.image(batch), PASSES)
        return process_status()["VmHWM"] - before


def _forget_peak() -> None:
    """Has the system count the peak from here on; where it may not, loading libraries counts too."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    except OSError:
        return


def _main(task: dict) -> None:
    conditions = Conditions(**task["conditions"])
    print(_growth(task["name"], task["batch"], conditions))


if __name__ == "__main__":
    _main(json.loads(sys.argv[1]))
