"""The scan operators with one channel, one state and plain parameters, for looking at how they mix a grid of tokens.

Each gives a function of maps (1, 1, *grid) that runs the operator of `medssm.kernels` on whatever backend is chosen.
From one token to the next a state keeps the share `KEPT`; in a network that share, and what enters and is read, is
chosen anew for every token and channel.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from medssm.kernels import nd_selective_scan, state_fusion, state_scan, wavefront_scan
from medssm.models.mixer import ScanOrder
from medssm.models.spatial_mamba import DILATIONS

Mixing = Callable[[Tensor], Tensor]
KEPT = 0.8


def scan(order: ScanOrder, kept: float = KEPT) -> Mixing:
    """The selective scan along an order of the grid, as in Mamba-ND and in each group of GroupMamba."""

    def mix(x: Tensor) -> Tensor:
        tokens, grid = x.flatten(2), x.shape[2:]
        ones, A = torch.ones_like(tokens), _decay(kept)
        axes, reverse = order
        y = nd_selective_scan(tokens, ones, A, ones, ones, shape=grid, axes=axes, reverse=reverse)
        return y.unflatten(2, grid)

    return mix


def wavefront(reverse: bool = False, kept: float = KEPT) -> Mixing:
    """Mamba2D's recurrence, each cell fed by the one above and the one to the left; in `reverse` from the others."""

    def mix(x: Tensor) -> Tensor:
        tokens, grid = x.flatten(2), x.shape[2:]
        ones, A = torch.ones_like(tokens), _decay(kept)
        y = wavefront_scan(tokens, ones, ones, A, A, ones, ones, ones, shape=grid, reverse=reverse)
        return y.unflatten(2, grid)

    return mix


def states(kept: float = KEPT) -> Mixing:
    """Spatial-Mamba's scan of states, row by row, before they are fused."""

    def mix(x: Tensor) -> Tensor:
        tokens, grid = x.flatten(2), x.shape[2:]
        ones = torch.ones_like(tokens)
        return state_scan(tokens, ones, _decay(kept), ones)[:, :, 0].unflatten(2, grid)

    return mix


def fusion(x: Tensor) -> Tensor:
    """Spatial-Mamba's fusion of maps (1, 1, H, W) with neighbours at three distances, with weights it starts from."""
    kernels, alpha = torch.ones(len(DILATIONS), 1, 3, 3), torch.ones(len(DILATIONS))
    height, width = x.shape[2:]
    fused = state_fusion(x.flatten(2), kernels, alpha, shape=(height, width), dilations=DILATIONS)
    return fused.unflatten(2, (height, width))


def stacked(*mixings: Mixing) -> Mixing:
    """Layers one after another, each added to what it was given, as blocks are."""

    def mix(x: Tensor) -> Tensor:
        for mixing in mixings:
            x = x + mixing(x)
        return x

    return mix


def _decay(kept: float) -> Tensor:
    """A, (1, 1), that keeps this share of a state in a step of size 1."""
    return torch.full((1, 1), math.log(kept))
