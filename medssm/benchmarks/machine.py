"""On what a benchmark ran."""

import os
import platform
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from medssm.kernels import native

PACKAGES = ("medssm", "torch", "triton", "timm", "monai", "numpy", "mamba-ssm")


@dataclass(frozen=True)
class Machine:
    """Date (UTC), processor or GPU, the threads that torch uses, the native kernels' instruction set, versions.

    Attributes:
        openmp: variables of the environment that tell threads where to run and how to wait.
    """

    date: str
    device: str
    threads: int
    instruction_set: str
    versions: dict[str, str]
    openmp: dict[str, str]

    def __str__(self) -> str:
        return f"{self.device}, {self.threads} threads, {self.instruction_set}, torch {self.versions['torch']}"


def this_machine(device: str = "cpu") -> Machine:
    """The machine at this moment; `device` is "cpu" or a CUDA device."""
    return Machine(
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        device=_cpu_model() if device == "cpu" else torch.cuda.get_device_name(device),
        threads=torch.get_num_threads(),
        instruction_set=native.selected_isa() if native.unavailable() is None else "no native kernels",
        versions={"python": platform.python_version()} | {package: _version(package) for package in PACKAGES},
        openmp={name: value for name, value in os.environ.items() if name.startswith("OMP_")},
    )


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # no Linux
        lines = []
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
