"""State fusion on the CPU, in C++ (fusion_forward.cpp, fusion_backward.cpp)."""

import torch
from torch import Tensor

from medssm.kernels.layout import empty_tokens
from medssm.kernels.native import kernel, unavailable
from medssm.kernels.native.packing import address, merge, pack, partial_sum, strided
from medssm.kernels.state_fusion._taps import Taps, find_taps

__all__ = ["backward", "forward", "unavailable", "unsupported"]

# Below this many multiply-adds waking a second thread costs more than it saves.
SMALL = 1 << 18


def unsupported(h: Tensor, *arguments: object) -> str | None:
    """Why this backend cannot take h (batch, dim, length); None if it can."""
    if h.dtype not in (torch.float32, torch.bfloat16):
        return f"the native fusion takes float32 and bfloat16, not {h.dtype}"
    return None


def forward(h: Tensor, weights: Tensor, shape: tuple[int, int], dilations: tuple[int, ...]) -> Tensor:
    """Fused states (batch, dim, length) of h like it and weights (dilations, dim, 3, 3)."""
    fused, weights = empty_tokens(h), weights.contiguous()
    inputs = _inputs(h, weights, shape, find_taps(dilations))
    kernel("state_fusion_forward")(pack(*strided(fused), *inputs))
    return fused


def backward(
    grad: Tensor, h: Tensor, weights: Tensor, shape: tuple[int, int], dilations: tuple[int, ...]
) -> tuple[Tensor, Tensor]:
    """Gradients of h (batch, dim, length) and of weights (dilations, dim, 3, 3)."""
    dh, weights = empty_tokens(h), weights.contiguous()
    dweights = partial_sum(weights.new_empty(weights.shape), h.shape[0])
    inputs = _inputs(h, weights, shape, find_taps(dilations))
    kernel("state_fusion_backward")(pack(*strided(dh), address(dweights[1]), *strided(grad), *inputs))
    merge([dweights])
    return dh, dweights[0]


def _inputs(h: Tensor, weights: Tensor, shape: tuple[int, int], taps: Taps) -> tuple[int, ...]:
    """The fields of FusionInputs in fusion.h."""
    batch, dim, length = h.shape
    count = len(taps.places)
    threads = 1 if batch * dim * length * count < SMALL else torch.get_num_threads()
    sizes = (batch, dim, *shape, h.dtype == torch.bfloat16, threads, len(weights), taps.reach, len(taps.offsets), count)
    tables = (address(taps.offsets), address(taps.places), address(taps.of_weights))
    return *sizes, *tables, address(weights), *strided(h)
