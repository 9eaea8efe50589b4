"""The Fabric that a run's settings ask for: CPU, one GPU, several, or several nodes by torchrun or SLURM."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from inspect import signature
from typing import Any, Literal

import torch
import torch.distributed
from lightning_fabric import Fabric
from lightning_fabric.strategies import DDPStrategy
from torch.nn.parallel import DistributedDataParallel

from medssm.training.settings import Precision, RunSettings

FabricPrecision = Literal["32-true", "16-mixed", "bf16-mixed"]


def launch(settings: RunSettings) -> Fabric:
    """Starts the processes of a run, or joins those that torchrun or SLURM have started."""
    devices = settings.devices or int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    nodes = settings.nodes or int(os.environ.get("GROUP_WORLD_SIZE") or os.environ.get("SLURM_NNODES") or 1)
    fabric = Fabric(
        accelerator=settings.accelerator,
        devices=devices,
        num_nodes=nodes,
        precision=resolve_precision(settings.precision, settings.accelerator),
        strategy=_strategy(settings) if devices * nodes > 1 else "auto",
    )
    fabric.launch()
    return fabric


def _strategy(settings: RunSettings) -> DDPStrategy:
    """How the processes share gradients. Weights may have none: Mamba-ND's last block feeds nothing.

    A static graph finds those once, but not where a step sums several passes. Statistics of BatchNorm are left to
    `share_statistics`.
    """
    known = signature(DistributedDataParallel).parameters
    buffers = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"
    graph = "find_unused_parameters" if settings.total_batch else "static_graph"
    options: dict[str, Any] = {graph: True, buffers: False}
    return DDPStrategy(**options)


def resolve_precision(precision: Precision, accelerator: str) -> FabricPrecision:
    """The precision that "auto" stands for."""
    if precision != "auto":
        return precision
    return "16-mixed" if accelerator in ("auto", "cuda") and torch.cuda.is_available() else "32-true"


def part(fabric: Fabric) -> None:
    """Waits for all processes of a run and takes their connection down, so that none is left talking to a dead one."""
    if fabric.world_size > 1:
        fabric.barrier()
        torch.distributed.destroy_process_group()


def is_told_by_another() -> bool:
    """Whether another process of the run has told of a failure already: where one fails, the others do after it."""
    if not torch.distributed.is_initialized():  # begun alike, they fail alike
        return int(os.environ.get("RANK") or os.environ.get("LOCAL_RANK") or 0) > 0
    try:
        return torch.distributed.distributed_c10d._get_default_store().add("failures", 1) > 1
    except RuntimeError:  # the first process, which keeps the count, has told and ended
        return True


@contextmanager
def deterministic() -> Iterator[None]:
    """Within it torch uses algorithms that give the same result every time, where it has them."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    algorithms: Any = torch.utils.deterministic  # a class that poses as a module
    enabled, warn_only = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    fill = algorithms.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True, warn_only=True)
    algorithms.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(enabled, warn_only=warn_only)
        algorithms.fill_uninitialized_memory = fill
