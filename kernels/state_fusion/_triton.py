"""State fusion on GPUs, in Triton.

A program takes a tile of T tokens by W channels and adds up its taps, which its neighbours in the cache share. In the
backward pass gradients are gathered on the grid with its margins, and what reached the margins is then added to the
border. Sums over tokens are taken in a fixed order, so results do not depend on timing.
"""

import torch
from torch import Tensor

from medssm.kernels.layout import empty_tokens, laid_out
from medssm.kernels.state_fusion._reference import fold_margin
from medssm.kernels.triton_device import unavailable

__all__ = ["backward", "forward", "unavailable", "unsupported"]

CHANNELS = 32
# Tokens of a tile. Interpreted, a program costs by the operation and hardly by the token.
TOKENS = {"cuda": 64, "cpu": 512}


def unsupported(h: Tensor, *arguments: object) -> str | None:
    """Why this backend cannot take h (batch, dim, length); None if it can."""
    if h.dtype not in (torch.float32, torch.bfloat16, torch.float16):
        return f"the triton fusion computes in float32 and has no {h.dtype}"
    return None


def forward(h: Tensor, weights: Tensor, shape: tuple[int, int], dilations: tuple[int, ...]) -> Tensor:
    """Fused states (batch, dim, length) of h like it and weights (dilations, dim, 3, 3)."""
    fused = empty_tokens(h)
    _sum_taps(fused, h, weights, shape, dilations, margin=0, transposed=False)
    return fused


def backward(
    grad: Tensor, h: Tensor, weights: Tensor, shape: tuple[int, int], dilations: tuple[int, ...]
) -> tuple[Tensor, Tensor]:
    """Gradients of h (batch, dim, length) and of weights (dilations, dim, 3, 3)."""
    margin = max(dilations)
    padded = tuple(n + 2 * margin for n in shape)
    dpadded = weights.new_empty(h.shape[0], padded[0] * padded[1], h.shape[1]).transpose(1, 2)
    _sum_taps(dpadded, grad, weights, shape, dilations, margin, transposed=True)
    dh = fold_margin(fold_margin(dpadded.unflatten(2, padded), margin).mT, margin).mT
    return laid_out(dh.flatten(2).to(h.dtype)), _correlate(grad, h, weights, shape, dilations)


def _sum_taps(
    out: Tensor,
    x: Tensor,
    weights: Tensor,
    shape: tuple[int, int],
    dilations: tuple[int, ...],
    margin: int,
    transposed: bool,
) -> None:
    """Fills `out`, channels-last tokens of the grid with its margins, from x on the grid."""
    from medssm.kernels.state_fusion._triton_kernels import sum_taps

    batch, dim, length = out.shape
    tokens = TOKENS[x.device.type]
    blocks = -(-length // tokens), -(-dim // CHANNELS)
    sum_taps[(batch * blocks[0] * blocks[1],)](
        out,
        x,
        x.stride(),
        weights.contiguous(),
        torch.tensor(dilations, dtype=torch.int32, device=x.device),
        *shape,
        margin,
        dim,
        *blocks,
        len(dilations),
        TRANSPOSED=transposed,
        T=tokens,
        W=CHANNELS,
        enable_fp_fusion=True,
    )


def _correlate(grad: Tensor, h: Tensor, weights: Tensor, shape: tuple[int, int], dilations: tuple[int, ...]) -> Tensor:
    from medssm.kernels.state_fusion._triton_kernels import correlate

    batch, dim, _ = h.shape
    partial = weights.new_empty(batch, len(dilations), 9, dim)
    blocks = -(-dim // CHANNELS)
    correlate[(batch * len(dilations) * blocks,)](
        partial,
        grad,
        grad.stride(),
        h,
        h.stride(),
        torch.tensor(dilations, dtype=torch.int32, device=h.device),
        *shape,
        dim,
        blocks,
        len(dilations),
        T=TOKENS[h.device.type],
        W=CHANNELS,
        enable_fp_fusion=True,
    )
    return partial.sum(0).transpose(1, 2).unflatten(2, (3, 3)).contiguous()
