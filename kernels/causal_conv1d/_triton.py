"""The causal convolution on GPUs, in Triton: tiles of tokens and channels, read through the table of visits.

Gradients of weight and bias are summed per tile into scratch memory and then in a fixed order, without atomics.
"""

from typing import Any

import torch
from torch import Tensor

from medssm.kernels.grid import Grid
from medssm.kernels.layout import empty_tokens
from medssm.kernels.triton_device import unavailable

__all__ = ["backward", "forward", "unavailable", "unsupported"]

TOKENS, CHANNELS = 32, 32  # of a tile; with twice as many the backward fills all 255 registers
WIDEST = 8


def unsupported(x: Tensor, weight: Tensor, *arguments: object) -> str | None:
    """Why this backend cannot take x (batch, dim, length); None if it can."""
    if x.dtype not in (torch.float32, torch.bfloat16, torch.float16):
        return f"the triton convolution computes in float32 and has no {x.dtype}"
    if weight.shape[1] > WIDEST:
        return f"the triton convolution unrolls its taps, at most {WIDEST}, not {weight.shape[1]}"
    return None


def forward(x: Tensor, weight: Tensor, bias: Tensor | None, silu: bool, grid: Grid) -> Tensor:
    """Output (batch, dim, length) of x like it, weight (dim, width) and bias (dim,)."""
    from medssm.kernels.causal_conv1d._triton_kernels import conv_forward

    y = empty_tokens(x)
    programs, arguments, sizes = _launch(x, weight, bias, silu, grid)
    conv_forward[(programs,)](y, arguments, **sizes)
    return y


def backward(
    grad_y: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None, silu: bool, grid: Grid
) -> tuple[Tensor | None, ...]:
    """Gradients of x (batch, dim, length), weight (dim, width) and bias (dim,)."""
    from medssm.kernels.causal_conv1d._triton_kernels import conv_backward

    width = weight.shape[1]
    dx = empty_tokens(x)
    programs, arguments, sizes = _launch(x, weight, bias, silu, grid)
    partial = weight.new_empty(programs // -(-x.shape[1] // CHANNELS), width + 1, x.shape[1])
    conv_backward[(programs,)](dx, partial, grad_y, grad_y.stride(), arguments, **sizes)
    dweight = partial[:, :width].sum(0).t().contiguous()
    return dx, dweight, None if bias is None else partial[:, width].sum(0)


def _launch(
    x: Tensor, weight: Tensor, bias: Tensor | None, silu: bool, grid: Grid
) -> tuple[int, tuple[Any, ...], dict[str, Any]]:
    """Number of programs, and the arguments that both kernels take."""
    batch, dim, length = x.shape
    token_blocks, channel_blocks = -(-length // TOKENS), -(-dim // CHANNELS)
    visits = None if grid.is_identity else grid.visits(x.device)
    sizes = {
        "sizes": (length, dim, token_blocks, channel_blocks),
        "WIDTH": weight.shape[1],
        "SILU": silu,
        "T": TOKENS,
        "W": CHANNELS,
        "num_warps": 4,
        "enable_fp_fusion": True,
    }
    bias = None if bias is None else bias.contiguous()
    return batch * token_blocks * channel_blocks, (x, x.stride(), weight.contiguous(), bias, visits), sizes
