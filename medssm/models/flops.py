"""What one input costs: multiply-adds by part of the network, counted on shapes alone.

Convolutions and matrix products are counted; the products of attention, the recurrence of the scans and the norms
apart. Activations and sums are left out, as published tables have it, which call multiply-adds FLOPs.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Size, nn
from torch.utils.flop_counter import FlopCounterMode

from medssm.models.info import PublishedCost, PublishedDense
from medssm.models.registry import create_model, model_info


@dataclass(frozen=True)
class Cost:
    """What one input costs.

    Attributes:
        parts: multiply-adds of each top-level part of the network, by its name: convolutions and linear layers.
        attention: multiply-adds of the products of queries, keys and values.
        state_updates: of the scans: one for each token, channel and state.
        norms: operations as fvcore counts them: 5 for each value that a LayerNorm or GroupNorm gives, 2 for a
            BatchNorm's.
    """

    parts: dict[str, int]
    attention: int
    state_updates: int
    norms: int

    @property
    def multiply_adds(self) -> int:
        """Of the whole network's convolutions and linear layers."""
        return sum(self.parts.values())


def model_cost(name: str, size: Sequence[int] | None = None) -> Cost:
    """The cost of one input of `size`, by default the published one; blocks that never run are free.

    Raises: UsageError on an unknown name or a size that does not divide into patches.
    """
    info = model_info(name)
    with torch.device("meta"):
        model = create_model(name).eval()
        image = torch.empty(1, info.in_channels, *(size or info.input_size))
    return network_cost(model, image)


def dense_cost(name: str, published: PublishedDense) -> Cost:
    """The cost of a detector or segmenter on the input that its authors count.

    A detector's heads run on 1000 boxes and 100 masks, as MMDetection counts; an auxiliary head does not run.
    """
    return _dense_cost(name, published.head, published.cost_size, published.cost_layout)


@cache
def _dense_cost(name: str, head: str, size: tuple[int, int], layout: int | None) -> Cost:
    """Kept, as schedules share it and a count takes a second."""
    with torch.device("meta"):
        model = create_model(name, head=head, input_size=layout).eval()
        image = torch.empty(1, model_info(name).in_channels, *size)
    return network_cost(model, image)


def network_cost(model: nn.Module, image: torch.Tensor) -> Cost:
    """The cost of any network for one input, both without memory (on the device "meta") or with."""
    counter = FlopCounterMode(display=False, custom_mapping={**_PRODUCTS, **_SCANS, **_NORMS})
    with torch.no_grad(), counter:
        model(image)
    # The counter names modules by their path from the class of the network, and counts two operations a multiply-add.
    by_module = counter.get_flop_counts()
    apart = {torch.ops.aten.bmm, *_SCANS, *_NORMS}
    parts = {
        name: sum(
            operations
            for operator_counts in _counts_of(by_module, f"{type(model).__name__}.{name}")
            for operator, operations in operator_counts.items()
            if operator not in apart
        )
        for name, _ in model.named_children()
    }
    total = by_module["Global"]
    return Cost(
        parts={name: operations // 2 for name, operations in parts.items()},
        attention=total.get(torch.ops.aten.bmm, 0) // 2,
        state_updates=sum(total.get(scan, 0) for scan in _SCANS),
        norms=sum(total.get(norm, 0) for norm in _NORMS),
    )


def _counts_of(by_module: Mapping[str, dict[Any, int]], path: str) -> list[dict[Any, int]]:
    """The counts of a module; of a mere container, which is never called, those of the modules in it."""
    if path in by_module:
        return [by_module[path]]
    return [counts for name, counts in by_module.items() if name.rpartition(".")[0] == path]


def counted_as_published(published: PublishedCost | None, cost: Cost) -> int | None:
    """Multiply-adds by the rule of the authors; None where they state none."""
    if published is None or published.multiply_adds is None:
        return None
    added = {"attention": cost.attention, "norms": cost.norms, "scan": published.scan_steps * cost.state_updates}
    return cost.multiply_adds + sum(added[what] for what in published.counts)


def _causal_conv1d(x: Size, weight: Size, *_: Any, **__: Any) -> int:
    return 2 * math.prod(x) * weight[1]


def _state_fusion(h: Size, kernels: Size, *_: Any, **__: Any) -> int:
    return 2 * math.prod(h) * kernels[0] * kernels[2] * kernels[3]


def _scan(u: Size, dt: Size, A: Size, *_: Any, **__: Any) -> int:
    return math.prod(u) * A[1]


def _wavefront_scan(x: Size, dt_top: Size, dt_left: Size, A_top: Size, *_: Any, **__: Any) -> int:
    return math.prod(x) * A_top[1]


def _layer_norm(x: Size, *_: Any, **__: Any) -> int:
    return 5 * math.prod(x)


def _batch_norm(x: Size, *_: Any, **__: Any) -> int:
    return 2 * math.prod(x)


Formulas = Mapping[Any, Callable[..., int]]
_PRODUCTS: Formulas = {
    torch.ops.medssm.causal_conv1d: _causal_conv1d,
    torch.ops.medssm.state_fusion: _state_fusion,
}
_SCANS: Formulas = {
    torch.ops.medssm.selective_scan: _scan,
    torch.ops.medssm.state_scan: _scan,
    torch.ops.medssm.wavefront_scan: _wavefront_scan,
}
_NORMS: Formulas = {
    torch.ops.aten.native_layer_norm: _layer_norm,
    torch.ops.aten.native_group_norm: _layer_norm,
    torch.ops.aten.native_batch_norm: _batch_norm,
    torch.ops.aten._native_batch_norm_legit_no_training: _batch_norm,
}
