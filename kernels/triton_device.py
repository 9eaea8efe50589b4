"""Whether Triton kernels can run here, and how many programs fill the device."""

from functools import cache
from importlib.util import find_spec

import torch


@cache
def unavailable(device: torch.device) -> str | None:
    """Why Triton kernels cannot run on a device, None if they can: on CUDA, or on the CPU by Triton's interpreter."""
    if find_spec("triton") is None:
        return "triton is not installed; torch's CUDA wheels for Linux bring it along"
    import triton

    interpreted = triton.knobs.runtime.interpret
    if device.type == "cpu":
        return None if interpreted else "triton runs on CUDA devices only (TRITON_INTERPRET=1 interprets it on the CPU)"
    if device.type != "cuda":
        return f"triton runs on CUDA devices only, not on {device.type}"
    if interpreted:
        return "TRITON_INTERPRET=1 makes triton interpret its kernels on the CPU"
    if torch.version.hip is None and torch.cuda.get_device_capability(device) < (7, 0):
        return f"triton needs compute capability 7.0, {torch.cuda.get_device_name(device)} has less"
    return None


@cache
def programs_to_fill(device: torch.device) -> int:
    """Programs of one warp that keep a device busy: two for each of the four schedulers of a multiprocessor."""
    if device.type != "cuda":
        return 1
    return 8 * torch.cuda.get_device_properties(device).multi_processor_count
