"""How much memory a step of training takes, measured on a small window, and the batch that fits."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from medssm.tasks.segmentation.memory import available_memory, process_memory, shown_size

# Weights, gradients and the two moments of Adam.
_STATES = 4
# Beside what the backward pass keeps: its own tensors, crops that are prepared ahead, and what the allocator holds.
_OVERHEAD = 2.0
# Of what is free: the rest is for reading scans and for validation.
_SHARE = 0.7
_MOST = 8  # crops a step


class BatchChoice(NamedTuple):
    """Crops a step, and why."""

    size: int
    reason: str


def fitting_batch(
    network: nn.Module, window: tuple[int, int, int], sample: tuple[int, int, int], channels: int, bound: int | None
) -> BatchChoice:
    """As many crops a step as memory takes, from 1 to 8; 2 on a CPU, where more teach nothing in the same time.

    Args:
        window: of a crop. sample: a smaller window that the network takes.
        bound: on the process, in bytes; None for what the machine, or its GPU, has free.
    """
    on_gpu = torch.cuda.is_available() and bound is None
    free = torch.cuda.mem_get_info()[0] if on_gpu else (bound or available_memory() or 0)
    room = _SHARE * free - (0 if on_gpu else process_memory())
    weights = _STATES * sum(parameter.nbytes for parameter in network.parameters())
    each = _OVERHEAD * kept_bytes(network, sample, channels) * math.prod(window) / math.prod(sample)
    fits = int((room - weights) // each) if each else _MOST
    size = min(max(fits, 1), _MOST if on_gpu else 2)
    enough = "fit into" if fits >= size else "are more than"
    return BatchChoice(
        size, f"{size} crops of about {shown_size(int(each))} each {enough} the {shown_size(int(max(free, 0)))} free"
    )


def kept_bytes(network: nn.Module, window: tuple[int, int, int], channels: int) -> int:
    """Bytes that the backward pass of one window (D, H, W) keeps, beside the weights."""
    weights = {parameter.untyped_storage().data_ptr() for parameter in network.parameters()}
    kept: dict[int, int] = {}
    held: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        held.append(tensor)  # so that no storage takes the place of another one
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        network.train()(torch.zeros(1, channels, *window))
    return sum(kept.values())
