"""What this installation can use: versions, devices, and every kernel backend, each tried."""

import os
import platform
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import NamedTuple

import torch
from torch import Tensor

from medssm import kernels
from medssm.files import cache_folder

PACKAGES = ("medssm", "torch", "triton", "monai", "numpy", "nibabel", "SimpleITK", "lightning-fabric")
OPTIONAL_PACKAGES = ("mamba-ssm", "causal-conv1d")
TOLERANCE = 1e-4  # largest error beside the reference, relative to its largest entry


class Finding(NamedTuple):
    """One line of the report.

    Attributes:
        subject: what was looked at, such as "selective_scan: native on cpu".
        works: True or False; None where nothing is to be judged.
        detail: a version, a figure, or why it does not work and what to do.
    """

    subject: str
    works: bool | None
    detail: str


def versions() -> list[Finding]:
    """Python and the packages that matter, the optional ones included."""
    found = [Finding("Python", None, f"{platform.python_version()} ({sys.executable})")]
    for package in (*PACKAGES, *OPTIONAL_PACKAGES):
        try:
            found.append(Finding(package, None, version(package)))
        except PackageNotFoundError:
            found.append(Finding(package, None, "not installed"))
    return found


def devices() -> list[Finding]:
    """The processor with the threads that torch uses, every CUDA device, and the cache folder."""
    capability = torch.backends.cpu.get_cpu_capability()
    threads = f"{torch.get_num_threads()} of {os.cpu_count()} threads, {capability}"
    found = [Finding("CPU", None, f"{platform.processor() or platform.machine()}, {threads}")]
    for index in range(torch.cuda.device_count()):
        memory = torch.cuda.get_device_properties(index).total_memory / 2**30
        found.append(Finding(f"cuda:{index}", None, f"{torch.cuda.get_device_name(index)}, {memory:.0f} GiB"))
    return [*found, Finding("cache", None, str(cache_folder()))]


def backends() -> list[Finding]:
    """Every backend of every operator on every kind of device, run on a small input beside the reference."""
    kinds = [torch.device("cpu")] + [torch.device("cuda")] * torch.cuda.is_available()
    return [
        _try(name, backend, device)
        for name, operator in kernels.operators().items()
        for device in kinds
        for backend in operator.modules
    ]


def _try(name: str, backend: str, device: torch.device) -> Finding:
    subject = f"{name}: {backend} on {device.type}"
    reason = kernels.operators()[name].backend(backend).unavailable(device)
    if reason is not None:
        return Finding(subject, False, reason)
    try:
        expected = _SPECIMENS[name](device, "reference")
        error = ((_SPECIMENS[name](device, backend) - expected).abs().max() / expected.abs().max()).item()
    except Exception as failure:  # whatever a driver or compiler raises here is the finding
        return Finding(subject, False, f"fails: {type(failure).__name__}: {failure}")
    if not error <= TOLERANCE:
        return Finding(subject, False, f"gives wrong results (relative error {error:.1e}); please report this")
    return Finding(subject, True, f"works (relative error {error:.1e})")


def _normal(device: torch.device, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(device)


def _scan(device: torch.device, backend: str) -> Tensor:
    u, B = _normal(device, 1, 16, 24), _normal(device, 1, 1, 16, 24)
    A, D = -_normal(device, 16, 16).abs(), _normal(device, 16)
    return kernels.selective_scan(u, u, A, B, B, D, u, dt_softplus=True, backend=backend)


def _conv1d(device: torch.device, backend: str) -> Tensor:
    x, weight = _normal(device, 1, 16, 24), _normal(device, 16, 4)
    return kernels.causal_conv1d(x, weight, activation="silu", backend=backend)


_SPECIMENS: dict[str, Callable[[torch.device, str], Tensor]] = {
    "selective_scan": _scan,
    "causal_conv1d": _conv1d,
}
