"""The order in which a scan visits the tokens of an N-D grid."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from medssm.kernels.errors import ShapeError

LONGEST = 2**31 - 1


@dataclass(frozen=True)
class Grid:
    """Tokens on a grid, stored with the last axis fastest, and the order of visiting them.

    Attributes:
        shape: tokens along each axis of the grid.
        axes: a permutation of the axes, from the slowest to the fastest of the visit.
        reverse: for each axis of `shape`, whether it is walked from its end; all of them together reverse the
            whole sequence.
    """

    shape: tuple[int, ...]
    axes: tuple[int, ...]
    reverse: tuple[bool, ...]

    @property
    def length(self) -> int:
        """Number of tokens."""
        return math.prod(self.shape)

    @property
    def is_identity(self) -> bool:
        """True if the tokens are visited as they lie in memory."""
        return self.axes == tuple(range(len(self.shape))) and not any(self.reverse)

    def visits(self, device: torch.device) -> Tensor:
        """Position in memory of each visited token: int32, (length,). Kept for the next call; not to be written to.

        >>> Grid((2, 3), (1, 0), (False, False)).visits(torch.device("cpu")).tolist()
        [0, 3, 1, 4, 2, 5]
        """
        return _visits(self, device)


@lru_cache(maxsize=128)
def _visits(grid: Grid, device: torch.device) -> Tensor:
    positions = torch.arange(grid.length, dtype=torch.int32, device=device).reshape(grid.shape)
    reversed_axes = [axis for axis, reverse in enumerate(grid.reverse) if reverse]
    return positions.flip(reversed_axes).permute(grid.axes).flatten()


def check_length(length: int) -> None:
    """Refuses a sequence whose places do not fit the 32 bits that kernels keep them in.

    Raises: ShapeError.
    """
    if length > LONGEST:
        raise ShapeError(f"the sequence has {length} tokens; cut it into pieces of at most {LONGEST}")


def make_grid(
    length: int, shape: Sequence[int] | None, axes: Sequence[int] | None, reverse: bool | Sequence[bool]
) -> Grid:
    """The grid for `length` tokens; without a shape they form a line, without axes they are visited as they lie.

    Raises: ShapeError if shape, axes, reverse and length do not agree.
    """
    shape = (length,) if shape is None else tuple(shape)
    axes = tuple(range(len(shape))) if axes is None else tuple(axes)
    flags = (bool(reverse),) * len(shape) if isinstance(reverse, int) else tuple(bool(flag) for flag in reverse)
    check_length(length)
    if any(size < 1 for size in shape):
        raise ShapeError(f"shape {shape} has a size below 1; give the tokens along each axis of the grid")
    if math.prod(shape) != length:
        raise ShapeError(f"shape {shape} holds {math.prod(shape)} tokens, but the sequence has {length}")
    if sorted(axes) != list(range(len(shape))):
        raise ShapeError(f"axes {axes} are no permutation of the {len(shape)} axes of the grid {shape}")
    if len(flags) != len(shape):
        raise ShapeError(f"reverse has {len(flags)} entries for a grid of {len(shape)} axes; give one bool or one each")
    return Grid(shape, axes, flags)
