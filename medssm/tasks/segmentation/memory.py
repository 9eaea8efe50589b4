"""How much memory a prediction will take, estimated before it runs, and the passes that make it fit a bound."""

import os
import weakref
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from medssm.errors import UsageError
from medssm.models.recompute import Recomputing
from medssm.tasks.segmentation.restore import SCORES_AT_ONCE
from medssm.tasks.windows import Windows

FLOAT = 4
# Side of the window that is run to learn what a network takes: two of the largest patch, for its norms.
PATCH = 16
SAMPLE = 2 * PATCH
# Beside the tensors: scratch of the kernels and what the allocator does not hand back at once.
OVERHEAD = 1.15
# Scores while they are interpolated: as they were, both neighbours, and the planes that they come from.
INTERPOLATED = 4
# Where the system does not say how much a process holds: Python, torch and a network.
UNKNOWN_PROGRAM = 1 << 30
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes of a prediction, and the passes it is made in.

    Attributes:
        held: by the process already, with weights and scan. labels: of the scan. ring: scores that windows still touch.
        network: the largest sum of its tensors while a window runs.
        slab: preprocessed planes. restoring: scores while they are interpolated.
        mending: of labels, after all of this is let go.
        on_device: ring and network lie on a GPU and do not count.
        passes: bands of the volume, one after the other.
        windows: how many are run, those of two bands twice.
    """

    held: int
    labels: int
    ring: int
    network: int
    slab: int
    restoring: int
    mending: int
    on_device: bool
    passes: int
    windows: int

    @property
    def total(self) -> int:
        """Bytes of the process at its peak."""
        on_host = 0 if self.on_device else self.ring + self.network
        return int(self.held + self.labels + OVERHEAD * max(on_host + self.slab + self.restoring, self.mending))

    def __str__(self) -> str:
        parts = {
            "held already": self.held,
            "labels": self.labels,
            "scores": self.ring,
            "network": self.network,
            "planes": self.slab + self.restoring,
        }
        listed = ", ".join(f"{name} {shown_size(size)}" for name, size in parts.items())
        passes = f", in {self.passes} passes" if self.passes > 1 else ""
        return f"about {shown_size(self.total)} of memory ({listed}), {self.windows} windows{passes}"


def fit_memory(
    windows: Windows,
    scan_shape: tuple[int, ...],
    classes: int,
    network_bytes: int,
    bound: int | None,
    *,
    channels: int = 1,
    held: int | None = None,
    on_device: bool = False,
    mending: int = 0,
) -> tuple[list[Windows], MemoryEstimate]:
    """The windows of each pass, as few passes as the bound allows, and what they will take.

    Args:
        windows: of the whole volume.
        scan_shape: of the label map.
        network_bytes: `activation_bytes`.
        bound: on the process, in bytes; None for what the machine has.
        channels: of the scan.
        held: bytes held already; asked of the system if None.
        mending: bytes that post-processing takes.

    Raises: UsageError with the least figure that would do, if the bound cannot be met.
    """
    held = process_memory() if held is None else held
    whole = MemoryEstimate(
        held=held,
        labels=prod(scan_shape),
        ring=0,
        network=network_bytes,
        slab=3 * FLOAT * channels * prod(windows.shape) // windows.shape[windows.axis] * windows.size[windows.axis],
        restoring=0,
        mending=mending,
        on_device=on_device,
        passes=1,
        windows=len(windows),
    )
    limit = available_memory() if bound is None else bound
    length = windows.shape[windows.band_axis]
    for count in range(1, max(length // max(windows.size[windows.band_axis] // 4, 1), 1) + 1):
        passes = bands(windows, count)
        ring = FLOAT * (classes + 1) * max(prod(part.ring_shape) for part in passes)
        plane = FLOAT * classes * prod(scan_shape) // scan_shape[windows.axis] // count
        restoring = INTERPOLATED * min(max(FLOAT * SCORES_AT_ONCE, plane), FLOAT * classes * prod(scan_shape))
        estimate = replace(
            whole, ring=ring, restoring=restoring, passes=count, windows=sum(len(part) for part in passes)
        )
        if limit is None or estimate.total <= limit:
            return passes, estimate
    where = "the bound of --memory" if bound is not None else "what this machine has free"
    raise UsageError(
        f"at least {shown_size(estimate.total)} of memory are needed and {where} is {shown_size(limit)}, for a grid of "
        f"{' x '.join(map(str, windows.shape))} voxels; give a larger bound, a smaller window's network, or crop it"
    )


def bands(windows: Windows, count: int) -> list[Windows]:
    """The volume's windows in `count` bands of about equal width, each one plane wider than what it settles."""
    if count == 1:
        return [windows]
    length = windows.shape[windows.band_axis]
    edges = [round(i * length / count) for i in range(count + 1)]
    parts = (slice(low, min(high + 1, length)) for low, high in pairwise(edges))
    return [replace(windows, band=part) for part in parts]


def activation_bytes(network: nn.Module, window: tuple[int, ...], in_channels: int, batch: int = 1) -> int:
    """The largest number of bytes in live tensors while a window goes through the network.

    A small window is run for it, with sides of SAMPLE where our networks take that in place of the side, and what it
    took is scaled by the voxels: a twentieth to an eighth too much, for what does not grow with them. Torch's fake
    tensors, which hold no numbers, import its compiler, which takes longer than this. Others' networks may be laid out
    for one size, or halve it more often, and get the window itself.
    """
    first = next(iter((*network.parameters(), *network.buffers())), torch.empty(0))
    is_ours = isinstance(network, Recomputing)
    sample = tuple(min(side, SAMPLE) if is_ours and side % PATCH == 0 else side for side in window)
    with torch.inference_mode(), _LiveTensors() as live:
        network(torch.zeros(batch, in_channels, *sample, device=first.device))
    return live.peak * prod(window) // prod(sample)


class _LiveTensors(TorchFunctionMode):
    """Counts the bytes of storages that functions of torch make, until they are freed."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._known: weakref.WeakSet[torch.UntypedStorage] = weakref.WeakSet()

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        outputs = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(outputs):
            if isinstance(tensor, Tensor):
                self._count(tensor.untyped_storage())
        return outputs

    def _count(self, storage: torch.UntypedStorage) -> None:
        if storage in self._known:
            return
        self._known.add(storage)
        self.now += storage.nbytes()
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._free, storage.nbytes())

    def _free(self, size: int) -> None:
        self.now -= size


def process_memory() -> int:
    """Bytes of this process in memory now."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    except (OSError, ValueError):
        return UNKNOWN_PROGRAM
    return pages * os.sysconf("SC_PAGE_SIZE")


def available_memory() -> int | None:
    """Bytes that this process can have in all: those it holds and those the machine or its container has free."""
    limits = []
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
        free = next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
        limits.append(free * 1024 + process_memory())
        if (room := address_space_left()) is not None:
            limits.append(room + process_memory())
        limits.append(int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="utf-8")))
    except (OSError, ValueError, StopIteration):
        pass  # no Linux, or no limit set
    return min(limits, default=None)


def address_space_left() -> int | None:
    """Bytes that a limit on the address space (ulimit -v) leaves to this process; None where there is no limit."""
    import resource  # which Windows lacks, as it does /proc

    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return None
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0])
    return max(limit - pages * resource.getpagesize(), 0)


def parse_memory(text: str) -> int:
    """Bytes of a size such as "4G", "3.5 GiB" or "800M".

    Raises: UsageError if it is no size.

    >>> parse_memory("3.5GiB")
    3758096384
    """
    stripped = text.strip().upper().removesuffix("B").removesuffix("I")
    unit = stripped[-1:] if stripped[-1:].isalpha() else ""
    try:
        size = float(stripped.removesuffix(unit)) * _UNITS[unit]
    except (ValueError, KeyError):
        size = 0.0
    if not 0 < size < 1 << 60:
        raise UsageError(f"--memory {text}: no size; give a number with a unit, such as 4G or 800M")
    return int(size)


def shown_size(size: int | None) -> str:
    """A size for people.

    >>> shown_size(3 << 30), shown_size(20 << 20)
    ('3.00 GiB', '20 MiB')
    """
    if size is None:
        return "unknown"
    return f"{size / 2**30:.2f} GiB" if size >= 1 << 30 else f"{size / 2**20:.0f} MiB"
