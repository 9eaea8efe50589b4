"""Weights in the order in which the native convolutions read them, kept for as long as they hold."""

import weakref
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from medssm.kernels.native.library import kernel
from medssm.kernels.native.packing import address, pack

ROWS = 8  # an instruction set takes 8 or 4 outputs together (product.h); room for 8 fits both
_PIECES = 64


@dataclass(frozen=True)
class _Kept:
    weight: weakref.ref[Tensor]
    fingerprint: tuple[int, ...]
    packed: Tensor


_kept: dict[tuple[int, str], _Kept] = {}


def packed(weight: Tensor, layout: str, pack_weight: Callable[[Tensor], Tensor]) -> Tensor:
    """`pack_weight(weight)` for a weight of any shape, computed once for as long as it lives and keeps its content.

    The content is read on every use, which costs 0.3 % of a window's time: unlike torch's version counter that also
    sees what is written through `.data` or NumPy, and works on inference tensors.
    """
    key = (id(weight), layout)
    fingerprint = (*weight.shape, *_hash(weight))
    kept = _kept.get(key)
    if kept is None or kept.weight() is not weight or kept.fingerprint != fingerprint:
        reference = weakref.ref(weight, lambda _: _kept.pop(key, None))
        kept = _kept[key] = _Kept(reference, fingerprint, pack_weight(weight.detach().contiguous()))
    return kept.packed


def pack_matrix(weight: Tensor, outputs: int, depth: int, strides: tuple[int, int]) -> Tensor:
    """The matrix (outputs, depth), with these strides in `weight`, for the native matrix product."""
    result = torch.empty(padded(outputs) * depth, dtype=torch.float32, device="cpu")
    kernel("pack_matrix")(pack(address(result), address(weight), outputs, depth, *strides))
    return result


def padded(outputs: int) -> int:
    """Number of outputs that packed weights have room for."""
    return -(-outputs // ROWS) * ROWS


def _hash(weight: Tensor) -> list[int]:
    """64-bit hashes of the pieces of the weight's content."""
    dense = weight.detach().contiguous()
    hashes = torch.empty(_PIECES, dtype=torch.int64, device="cpu")
    kernel("fingerprint")(pack(address(hashes), address(dense), dense.numel(), _PIECES, torch.get_num_threads()))
    return hashes.tolist()
