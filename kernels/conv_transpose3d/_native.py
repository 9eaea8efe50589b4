"""The up-convolution by the native library, as one matrix product whose rows are written interleaved."""

import torch
from torch import Tensor

from medssm.kernels.native import kernel, unavailable
from medssm.kernels.native.kept_weights import pack_matrix, packed
from medssm.kernels.native.packing import address, pack
from medssm.kernels.native.sources import dense_grids, describe
from medssm.kernels.prediction import reason_against_tensors

__all__ = ["forward", "unavailable", "unsupported"]


def unsupported(x: Tensor, weight: Tensor, bias: Tensor | None) -> str | None:
    """Why this backend cannot take x (B, C, D, H, W); None if it can."""
    block = tuple(weight.shape[2:])
    if block != (2, 2, 2):
        return f"native doubles every axis, and these weights make blocks of {'x'.join(map(str, block))}"
    return reason_against_tensors(x, weight, bias)


def forward(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Output (B, K, 2D, 2H, 2W) of x (B, C, D, H, W)."""
    (x,) = dense_grids([x])
    batch, channels, *grid = x.shape
    outputs = weight.shape[1]
    weights = packed(weight, "transposed", _pack)
    source = describe([x])
    bias = None if bias is None else bias.contiguous()
    y = x.new_empty(batch, outputs, *(2 * size for size in grid))
    sizes = (batch, channels, outputs, *grid, torch.get_num_threads())
    kernel("conv_transpose3d")(pack(address(y), address(source), address(weights), address(bias), *sizes))
    return y


def _pack(weight: Tensor) -> Tensor:
    """Rows (output, offset in the block of 8), one column for each input channel."""
    channels, outputs = weight.shape[:2]
    return pack_matrix(weight, 8 * outputs, channels, (1, 8 * outputs))
