"""The distinct neighbours that a cell's dilated kernels reach, and which weight belongs to which."""

from functools import lru_cache
from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor


class Taps(NamedTuple):
    """Tables of int32 on the CPU; of the geometry alone, which no training changes.

    Attributes:
        offsets: (offsets,), every distance along an axis, ascending.
        places: (taps, 2), the offsets of a tap along height and width, by their index in `offsets`.
        of_weights: (dilations, 9), the tap of each weight; kernels share their centre.
    """

    offsets: Tensor
    places: Tensor
    of_weights: Tensor

    @property
    def reach(self) -> int:
        """The largest distance."""
        return int(self.offsets[-1])


@lru_cache(maxsize=32)
def find_taps(dilations: tuple[int, ...]) -> Taps:
    """The taps of one 3 x 3 kernel for each dilation.

    >>> taps = find_taps((1, 3, 5))
    >>> taps.offsets.tolist(), len(taps.places), taps.of_weights[:, 4].unique().tolist()
    ([-5, -3, -1, 0, 1, 3, 5], 25, [12])
    """
    offsets = sorted({sign * dilation for dilation in dilations for sign in (-1, 0, 1)})
    reached = [list(product((-dilation, 0, dilation), repeat=2)) for dilation in dilations]
    distinct = sorted({place for places in reached for place in places})
    return Taps(
        offsets=torch.tensor(offsets, dtype=torch.int32, device="cpu"),
        places=torch.tensor([[offsets.index(d) for d in place] for place in distinct], dtype=torch.int32, device="cpu"),
        of_weights=torch.tensor(
            [[distinct.index(place) for place in places] for places in reached], dtype=torch.int32, device="cpu"
        ),
    )
