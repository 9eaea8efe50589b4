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

PACKAGES = (
    "medssm",
    "torch",
    "triton",
    "monai",
    "timm",
    "numpy",
    "nibabel",
    "SimpleITK",
    "pydicom",
    "av",
    "lightning-fabric",
)
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
            hint = "; for CUDA devices pip install '.[cuda]' in medssm's source adds it" * (
                package in OPTIONAL_PACKAGES
            )
            found.append(Finding(package, None, f"not installed{hint}"))
    return found


def devices() -> list[Finding]:
    """The processor with the threads that torch uses, every CUDA device, and the cache folder."""
    capability = torch.backends.cpu.get_cpu_capability()
    threads = f"{torch.get_num_threads()} of {os.cpu_count()} threads, {capability}"
    found = [Finding("CPU", None, f"{platform.processor() or platform.machine()}, {threads}")]
    found += [Finding(f"cuda:{index}", None, _cuda_device(index)) for index in range(torch.cuda.device_count())]
    if not torch.cuda.is_available():
        found.append(Finding("CUDA", None, _why_no_cuda()))
    return [*found, Finding("cache", None, str(cache_folder()))]


def _cuda_device(index: int) -> str:
    memory = torch.cuda.get_device_properties(index).total_memory / 2**30
    return f"{torch.cuda.get_device_name(index)}, {memory:.0f} GiB"


def _why_no_cuda() -> str:
    if torch.version.cuda is None:
        return "none: this torch was built without it; with an NVIDIA GPU install another from pytorch.org"
    return f"none: torch has CUDA {torch.version.cuda} but finds no device; with an NVIDIA GPU see what nvidia-smi says"


def backends() -> list[Finding]:
    """Every backend of every operator on every kind of device, run on a small input beside the plain PyTorch one."""
    kinds = [torch.device("cpu")] + [torch.device("cuda")] * torch.cuda.is_available()
    return [
        _try(name, backend, device)
        for name, operator in kernels.operators().items()
        for device in kinds
        for backend in operator.modules
    ]


def _try(name: str, backend: str, device: torch.device) -> Finding:
    subject = f"{name}: {backend} on {device.type}"
    operator = kernels.operators()[name]
    base = list(operator.modules)[-1]  # the one in plain PyTorch: "reference" or "torch"
    reason = operator.backend(backend).unavailable(device)
    if reason is not None:
        return Finding(subject, False, reason)
    try:
        expected = _SPECIMENS[name](device, base)
        error = ((_SPECIMENS[name](device, backend) - expected).abs().max() / expected.abs().max()).item()
    except Exception as failure:  # whatever a driver or compiler raises here is the finding
        return Finding(subject, False, f"fails ({type(failure).__name__}: {failure}); please report this")
    if not error <= TOLERANCE:
        return Finding(subject, False, f"gives wrong results (relative error {error:.1e}); please report this")
    return Finding(subject, True, "what the others are held to" if backend == base else f"relative error {error:.1e}")


def _normal(device: torch.device, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(device)


def _scan(device: torch.device, backend: str) -> Tensor:
    u, B = _normal(device, 1, 16, 24), _normal(device, 1, 1, 16, 24)
    A, D = -_normal(device, 16, 16).abs(), _normal(device, 16)
    return kernels.selective_scan(u, u, A, B, B, D, u, dt_softplus=True, backend=backend)


def _wavefront_scan(device: torch.device, backend: str) -> Tensor:
    x, B = _normal(device, 1, 16, 30), _normal(device, 1, 16, 30)
    A, D = -_normal(device, 16, 16).abs(), _normal(device, 16)
    return kernels.wavefront_scan(x, x, x, A, A, B, B, B, D, dt_softplus=True, shape=(5, 6), backend=backend)


def _state_scan(device: torch.device, backend: str) -> Tensor:
    u, A, B = _normal(device, 1, 16, 24), -_normal(device, 16, 1).abs(), _normal(device, 1, 1, 24)
    return kernels.state_scan(u, u, A, B, dt_softplus=True, backend=backend)


def _state_fusion(device: torch.device, backend: str) -> Tensor:
    h, weights, alpha = _normal(device, 1, 16, 30), _normal(device, 3, 16, 3, 3), _normal(device, 3)
    return kernels.state_fusion(h, weights, alpha, shape=(5, 6), backend=backend)


def _conv1d(device: torch.device, backend: str) -> Tensor:
    x, weight = _normal(device, 1, 16, 24), _normal(device, 16, 4)
    return kernels.causal_conv1d(x, weight, activation="silu", backend=backend)


def _conv3d(device: torch.device, backend: str) -> Tensor:
    x, weight, bias = _normal(device, 1, 8, 14, 13, 12), _normal(device, 8, 8, 3, 3, 3), _normal(device, 8)
    return kernels.conv3d(x, weight, bias, backend=backend)


def _conv_transpose3d(device: torch.device, backend: str) -> Tensor:
    x, weight = _normal(device, 1, 8, 5, 4, 3), _normal(device, 8, 6, 2, 2, 2)
    return kernels.conv_transpose3d(x, weight, backend=backend)


def _instance_norm(device: torch.device, backend: str) -> Tensor:
    x = _normal(device, 1, 8, 7, 6, 5)
    return kernels.instance_norm(x, residual=x, negative_slope=0.01, backend=backend)


_SPECIMENS: dict[str, Callable[[torch.device, str], Tensor]] = {
    "selective_scan": _scan,
    "wavefront_scan": _wavefront_scan,
    "state_scan": _state_scan,
    "state_fusion": _state_fusion,
    "causal_conv1d": _conv1d,
    "conv3d": _conv3d,
    "conv_transpose3d": _conv_transpose3d,
    "instance_norm": _instance_norm,
}
