"""What one input costs: multiply-adds by part of the network, counted on shapes alone.

Convolutions and matrix products are counted, the recurrence of the scans apart. Norms, activations and sums are left
out, as published tables have it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Size, nn
from torch.utils.flop_counter import FlopCounterMode

from medssm.models.registry import create_model, model_info


@dataclass(frozen=True)
class Cost:
    """What one input costs.

    Attributes:
        parts: multiply-adds of each top-level part of the network, by its name.
        state_updates: of the scans: one for each token, channel and state.
    """

    parts: dict[str, int]
    state_updates: int

    @property
    def multiply_adds(self) -> int:
        """Of the whole network."""
        return sum(self.parts.values())


def model_cost(name: str, size: Sequence[int] | None = None) -> Cost:
    """The cost of one input of `size` (D, H, W) voxels, by default the training window; blocks that never run are free.

    Raises: UsageError on an unknown name or a size that does not divide into patches.
    """
    info = model_info(name)
    with torch.device("meta"):
        model = create_model(name).eval()
        image = torch.empty(1, info.in_channels, *(size or info.input_size))
    return _cost(model, image)


def _cost(model: nn.Module, image: torch.Tensor) -> Cost:
    scan = torch.ops.medssm.selective_scan
    formulas = {torch.ops.medssm.causal_conv1d: _causal_conv1d_flops, scan: _state_updates}
    counter = FlopCounterMode(display=False, custom_mapping=formulas)
    with torch.no_grad(), counter:
        model(image)
    # The counter names modules by their path from the class of the network, and counts two operations a multiply-add.
    by_module = counter.get_flop_counts()
    parts = {
        name: sum(flops for operator, flops in by_module[f"{type(model).__name__}.{name}"].items() if operator != scan)
        for name, _ in model.named_children()
    }
    return Cost({name: flops // 2 for name, flops in parts.items()}, by_module["Global"][scan])


def _causal_conv1d_flops(x: Size, weight: Size, *_: Any, **__: Any) -> int:
    return 2 * math.prod(x) * weight[1]


def _state_updates(u: Size, dt: Size, A: Size, *_: Any, **__: Any) -> int:
    return math.prod(u) * A[1]
