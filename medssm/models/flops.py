"""What one input costs: multiply-adds by part of the network, counted on shapes alone.

Convolutions and matrix products are counted; the products of attention, the recurrence of the scans and the norms
apart. Activations and sums are left out, as published tables have it, which call multiply-adds FLOPs.

Run as a program (`python -m medssm.models.flops`), it counts every network and writes counts.json anew.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import torch
from torch import Size, nn
from torch.utils.flop_counter import FlopCounterMode

import medssm.kernels  # noqa: F401  registers the operators that are counted below
from medssm.models.counts import Counts, NetworkCost, counted_name, keep_counts
from medssm.models.info import ModelInfo, PublishedDense
from medssm.models.registry import count_parameters, fresh_model, list_models, model_info


def count(info: ModelInfo, published: PublishedDense | None = None) -> Counts:
    """Parameters and cost of a model, or of a detector or segmenter that was published on it."""
    if published:
        return Counts(count_parameters(info.name, published.head), dense_cost(info.name, published))
    return Counts(count_parameters(info.name), model_cost(info.name))


def count_all() -> dict[str, Counts]:
    """Of every model and of what was published on it, by the name in counts.json."""
    infos = [model_info(name) for name in list_models()]
    networks = [(info, published) for info in infos for published in (None, *info.dense)]
    return {counted_name(*network): count(*network) for network in networks}


def model_cost(name: str, size: Sequence[int] | None = None) -> NetworkCost:
    """The cost of one input of `size`, by default the published one; blocks that never run are free.

    Raises: UsageError on an unknown name or a size that does not divide into patches.
    """
    info = model_info(name)
    return _cost(info.name, "", tuple(size or info.input_size), None)


def dense_cost(name: str, published: PublishedDense) -> NetworkCost:
    """The cost of a detector or segmenter on the input that its authors count.

    A detector's heads run on 1000 boxes and 100 masks, as MMDetection counts; an auxiliary head does not run.
    """
    return _cost(name, published.head, published.cost_size, published.cost_layout)


@cache
def _cost(name: str, head: str, size: tuple[int, ...], layout: int | None) -> NetworkCost:
    """Kept, as schedules share a detector and a count takes a second."""
    with torch.device("meta"):
        model = fresh_model(name, head=head, input_size=layout).eval()
        image = torch.empty(1, model_info(name).in_channels, *size)
    return network_cost(model, image)


def network_cost(model: nn.Module, image: torch.Tensor) -> NetworkCost:
    """The cost of any network for one input (B, C, *size), both without memory (on the device "meta") or with."""
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
    return NetworkCost(
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

if __name__ == "__main__":
    keep_counts(count_all())
