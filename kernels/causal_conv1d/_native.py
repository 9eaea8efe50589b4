"""The short causal convolution on the CPU, in C++ (conv1d_forward.cpp, conv1d_backward.cpp)."""

import torch
from torch import Tensor

from medssm.kernels.grid import Grid
from medssm.kernels.layout import empty_tokens
from medssm.kernels.native import kernel, unavailable
from medssm.kernels.native.packing import address, merge, pack, partial_sum, strided, visits_table

__all__ = ["backward", "forward", "unavailable", "unsupported"]

CHUNK = 64  # chunk_tokens in conv1d.h
# Sums over tokens are kept in at most this many parts: fixed, so that they are the same for any number of threads.
PARTS = 16
# Below this many elements waking a second thread costs more than it saves.
SMALL = 1 << 14


def unsupported(x: Tensor, *arguments: object) -> str | None:
    """Why this backend cannot take x (batch, dim, length); None if it can."""
    if x.dtype not in (torch.float32, torch.bfloat16):
        return f"the native convolution takes float32 and bfloat16, not {x.dtype}"
    return None


def forward(x: Tensor, weight: Tensor, bias: Tensor | None, silu: bool, grid: Grid) -> Tensor:
    """Output (batch, dim, length) of x like it, weight (dim, width) and bias (dim,)."""
    y = empty_tokens(x)
    weight, bias = weight.contiguous(), None if bias is None else bias.contiguous()
    visits = visits_table(grid)
    kernel("causal_conv1d_forward")(pack(*strided(y), *_inputs(x, weight, bias, silu, visits)))
    return y


def backward(
    grad_y: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None, silu: bool, grid: Grid
) -> tuple[Tensor | None, ...]:
    """Gradients of x (batch, dim, length), weight (dim, width) and bias (dim,)."""
    dx = empty_tokens(x)
    weight, bias = weight.contiguous(), None if bias is None else bias.contiguous()
    parts = min(PARTS, x.shape[0] * -(-grid.length // CHUNK))
    dweight = partial_sum(torch.empty_like(weight), parts)
    dbias = None if bias is None else partial_sum(torch.empty_like(bias), parts)
    visits = visits_table(grid)
    outputs = (*strided(dx), address(dweight[1]), 0 if dbias is None else address(dbias[1]), parts, *strided(grad_y))
    kernel("causal_conv1d_backward")(pack(*outputs, *_inputs(x, weight, bias, silu, visits)))
    merge([dweight] if dbias is None else [dweight, dbias])
    return dx, dweight[0], None if dbias is None else dbias[0]


def _inputs(x: Tensor, weight: Tensor, bias: Tensor | None, silu: bool, visits: Tensor | None) -> tuple[int, ...]:
    """The fields of ConvInputs in conv1d.h; weight and bias are contiguous."""
    batch, dim, length = x.shape
    threads = 1 if x.numel() < SMALL else torch.get_num_threads()
    sizes = (batch, dim, length, weight.shape[1], silu, x.dtype == torch.bfloat16, threads)
    return *sizes, address(visits), address(weight), address(bias), *strided(x)
