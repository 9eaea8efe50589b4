"""State fusion and its gradient by torch's own padding and depthwise convolutions, one for each dilation."""

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.grad import conv2d_input, conv2d_weight

from medssm.kernels.anywhere import unavailable, unsupported
from medssm.kernels.layout import laid_out

__all__ = ["backward", "forward", "unavailable", "unsupported"]


def fusion_equation(h: Tensor, weights: Tensor, shape: tuple[int, int], dilations: tuple[int, ...]) -> Tensor:
    """(batch, dim, length) of the dtype of h; differentiable. weights: (dilations, dim, 3, 3)."""
    grid = h.to(weights.dtype).unflatten(2, shape)
    fused = torch.zeros_like(grid)
    for weight, dilation in zip(weights, dilations, strict=True):
        padded = F.pad(grid, [dilation] * 4, mode="replicate")
        fused = fused + F.conv2d(padded, weight[:, None], dilation=dilation, groups=h.shape[1])
    return fused.flatten(2).to(h.dtype)


def forward(h: Tensor, weights: Tensor, shape: tuple[int, int], dilations: tuple[int, ...]) -> Tensor:
    """Fused states (batch, dim, length) of h like it and weights (dilations, dim, 3, 3)."""
    return laid_out(fusion_equation(h, weights, shape, dilations))


def backward(
    grad: Tensor, h: Tensor, weights: Tensor, shape: tuple[int, int], dilations: tuple[int, ...]
) -> tuple[Tensor, Tensor]:
    """Gradients of h (batch, dim, length) and of weights (dilations, dim, 3, 3)."""
    h_grid, grad_grid = (x.to(weights.dtype).unflatten(2, shape) for x in (h, grad))
    dh = torch.zeros_like(h_grid)
    dweights = []
    for weight, dilation in zip(weights, dilations, strict=True):
        padded = F.pad(h_grid, [dilation] * 4, mode="replicate")
        settings = {"dilation": dilation, "groups": h.shape[1]}
        dpadded = conv2d_input(padded.shape, weight[:, None], grad_grid, **settings)
        dweights.append(conv2d_weight(padded, weight[:, None].shape, grad_grid, **settings)[:, 0])
        dh += fold_margin(fold_margin(dpadded, dilation).mT, dilation).mT
    return laid_out(dh.flatten(2).to(h.dtype)), torch.stack(dweights)


def fold_margin(dpadded: Tensor, margin: int) -> Tensor:
    """The gradient (..., n) of replicate padding of the last axis: what reached margins goes to the border cells."""
    inside = dpadded[..., margin:-margin].clone()
    inside[..., 0] += dpadded[..., :margin].sum(-1)
    inside[..., -1] += dpadded[..., -margin:].sum(-1)
    return inside
