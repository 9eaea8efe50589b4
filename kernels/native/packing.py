"""Puts tensors and sizes into the structs that native kernels take."""

import struct
from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor

from medssm.kernels.grid import Grid
from medssm.kernels.native.library import kernel

MOST_SUMS = 8  # of merge.cpp

# An output and what it is the sum of: (parts, *shape of the output), float32, in a fixed order.
PartialSum = tuple[Tensor, Tensor]


@cache
def _packer(fields: int) -> struct.Struct:
    return struct.Struct(f"{fields}q")


def pack(*fields: int) -> bytes:
    """A struct of 8-byte integers and addresses."""
    return _packer(len(fields)).pack(*fields)


def address(tensor: Tensor | None) -> int:
    """Address of the first element of a tensor of any shape; the null pointer for None."""
    return 0 if tensor is None else tensor.data_ptr()


def strided(tensor: Tensor | None, axes: int = 0) -> tuple[int, ...]:
    """Address and strides in elements, of any shape; for None a null pointer and zeros for as many as `axes`."""
    return (0,) * (1 + axes) if tensor is None else (tensor.data_ptr(), *tensor.stride())


def visits_table(grid: Grid) -> Tensor | None:
    """The grid's table of visits, (length,), or None for memory order. Keep it until the kernel returns."""
    return None if grid.is_identity else grid.visits(torch.device("cpu"))


def partial_sum(out: Tensor, parts: int) -> PartialSum:
    """`out`, of any shape, with room for the float32 parts that `merge` adds up, laid out as `out` is in memory."""
    return out, torch.empty((parts, out.numel()), dtype=torch.float32, device="cpu")


def merge(sums: Sequence[PartialSum]) -> None:
    """Adds up the parts of each of at most MOST_SUMS sums, in order, whatever the number of threads."""
    fields = [torch.get_num_threads(), len(sums)]
    for out, parts in sums:
        fields += [out.data_ptr(), parts.data_ptr(), parts.shape[0], out.numel(), out.dtype == torch.bfloat16]
    fields += [0] * 5 * (MOST_SUMS - len(sums))
    kernel("merge_sums")(pack(*fields))
