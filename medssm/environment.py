"""What figures may depend on besides the code: software, hardware, threads and the command."""

import os
import platform
import sys
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

PACKAGES = ("medssm", "torch", "numpy", "monai", "lightning-fabric", "nibabel", "triton", "mamba-ssm")


def environment(device: str) -> dict[str, Any]:
    """Software, hardware, threads and the command, as JSON can hold them."""
    return {
        "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": sys.argv,
        "python": platform.python_version(),
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
        "system": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": device,
        "cuda": torch.version.cuda,
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        "settings": {name: value for name, value in os.environ.items() if name.startswith("MEDSSM_")},
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
