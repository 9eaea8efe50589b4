"""The orders of Mamba-ND, and what a scan that knows only memory order has to do to follow one."""

from typing import NamedTuple

from torch import Tensor

from medssm.benchmarks.scan_inputs import Scan, ScanInputs
from medssm.kernels import nd_selective_scan


class Order(NamedTuple):
    """A visit of a 3-D grid: its axes from the slowest to the fastest, and whether the whole of it is reversed."""

    axes: tuple[int, ...]
    reverse: bool

    def __str__(self) -> str:
        return "".join("dhw"[axis] for axis in self.axes) + (" reversed" if self.reverse else "")


# Those of Mamba-ND but the first, which is the order of the memory.
ORDERS = tuple(Order(axes, reverse) for axes in ((0, 1, 2), (0, 2, 1), (2, 1, 0)) for reverse in (False, True))[1:]


def walking(shape: tuple[int, ...], order: Order, backend: str) -> Scan:
    """Our scan, which walks along the order and moves nothing."""

    def scan(x: ScanInputs) -> Tensor:
        return nd_selective_scan(
            *x, dt_softplus=True, shape=shape, axes=order.axes, reverse=order.reverse, backend=backend
        )

    return scan


def permuting(shape: tuple[int, ...], order: Order, scan: Scan, *, channels_last: bool) -> Scan:
    """`scan`, which goes in memory order, on copies of the tokens in the order of the visit; its output put back.

    Args:
        channels_last: how the copies lie, as `scan` likes them: (batch, length, dim), or else (batch, dim, length).
    """
    first = 1 if channels_last else 2
    grid = range(first, first + len(shape))
    visited = [shape[axis] for axis in order.axes]
    permuted = [first + axis for axis in order.axes]
    restored = [first + order.axes.index(axis) for axis in range(len(shape))]

    def reorder(x: Tensor, sizes: list[int], axes: list[int], flips: tuple[bool, bool]) -> Tensor:
        x = x.transpose(1, 2) if channels_last else x
        x = x.unflatten(first, sizes)
        x = x.flip(*grid) if flips[0] else x
        rest = range(first + len(sizes), x.ndim)
        x = x.permute(*range(first), *axes, *rest)
        x = (x.flip(*grid) if flips[1] else x).flatten(first, first + len(sizes) - 1).contiguous()
        return x.transpose(1, 2) if channels_last else x

    def scan_copies(x: ScanInputs) -> Tensor:
        copies = {
            name: reorder(getattr(x, name), list(shape), permuted, (False, order.reverse))
            for name in ("u", "dt", "B", "C", "z")
        }
        return reorder(scan(x._replace(**copies)), visited, restored, (order.reverse, False))

    return scan_copies
