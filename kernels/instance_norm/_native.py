"""Instance norm, residual and LeakyReLU by the native library: every channel is read from memory once, written once."""

import struct

import torch
from torch import Tensor

from medssm.kernels.native import kernel, unavailable
from medssm.kernels.native.packing import address, pack
from medssm.kernels.prediction import reason_against_tensors

__all__ = ["forward", "forward_", "unavailable", "unsupported"]


def unsupported(x: Tensor, residual: Tensor | None) -> str | None:
    """Why this backend cannot take x (B, C, D, H, W); None if it can."""
    return reason_against_tensors(x, residual)


def forward(x: Tensor, residual: Tensor | None, eps: float, negative_slope: float | None) -> Tensor:
    """Output (B, C, D, H, W) of x and a residual like it."""
    x = x.contiguous()
    y = torch.empty_like(x)
    _run(y, x, residual, eps, negative_slope)
    return y


def forward_(x: Tensor, residual: Tensor | None, eps: float, negative_slope: float | None) -> None:
    """The same, written over x (B, C, D, H, W)."""
    if x.is_contiguous():
        _run(x, x, residual, eps, negative_slope)
    else:
        x.copy_(forward(x, residual, eps, negative_slope))


def _run(y: Tensor, x: Tensor, residual: Tensor | None, eps: float, negative_slope: float | None) -> None:
    residual = None if residual is None else residual.contiguous()
    channels = x.shape[0] * x.shape[1]
    sizes = (channels, x.numel() // channels, negative_slope is not None, torch.get_num_threads())
    arguments = pack(address(y), address(x), address(residual), *sizes)
    kernel("instance_norm")(arguments + struct.pack("2d", eps, negative_slope or 0.0))
