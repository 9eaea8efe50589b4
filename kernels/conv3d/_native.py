"""The convolution by the native library: Winograd's method for 3x3x3 kernels, a matrix product for the rest."""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from medssm.kernels.native import kernel, unavailable
from medssm.kernels.native.kept_weights import pack_matrix, packed, padded
from medssm.kernels.native.packing import address, pack
from medssm.kernels.native.sources import dense_grids, describe
from medssm.kernels.prediction import reason_against_tensors

__all__ = ["forward", "unavailable", "unsupported"]


def unsupported(parts: Sequence[Tensor], weight: Tensor, bias: Tensor | None) -> str | None:
    """Why this backend cannot take parts (B, C, D, H, W); None if it can."""
    return reason_against_tensors(*parts, weight, bias)


def forward(parts: Sequence[Tensor], weight: Tensor, bias: Tensor | None) -> Tensor:
    """Output (B, K, D, H, W) of parts (B, C, D, H, W) each, which are one along C."""
    parts = dense_grids(parts)
    batch, _, *grid = parts[0].shape
    outputs, channels, side, *_ = weight.shape
    taps = side**3
    tile = _tile(channels, grid) if taps == 27 else 0
    weights = packed(weight, f"tile {tile}", partial(_pack_winograd, tile=tile) if tile else _pack_direct)
    sources = describe(parts)
    bias = None if bias is None else bias.contiguous()
    y = parts[0].new_empty(batch, outputs, *grid)
    fields = [address(y), address(sources), len(parts), address(weights), address(bias), batch, channels, outputs]
    if tile:
        kernel("conv3d_winograd")(pack(*fields, *grid, tile, torch.get_num_threads()))
    else:
        kernel("conv3d_direct")(pack(*fields, *grid, taps, torch.get_num_threads()))
    return y


def _tile(channels: int, grid: Sequence[int]) -> int:
    """Outputs along an axis of the tile that is fastest, of grids of 6 to 96 a side; 0 where the definition is."""
    if channels < 4:
        return 0
    return 4 if min(grid[:2]) >= 12 else 2


def _pack_winograd(weight: Tensor, tile: int) -> Tensor:
    outputs, channels = weight.shape[:2]
    points = (tile + 2) ** 2 * 4
    result = torch.empty(points * padded(outputs) * channels, dtype=torch.float32, device="cpu")
    arguments = pack(address(result), address(weight), outputs, channels, tile, torch.get_num_threads())
    kernel("conv3d_winograd_pack")(arguments)
    return result


def _pack_direct(weight: Tensor) -> Tensor:
    outputs, depth = weight.shape[0], weight[0].numel()
    return pack_matrix(weight, outputs, depth, (depth, 1))
