"""The up-convolution of a UNETR decoder, its stride as large as its kernel. Tensors are (B, C, D, H, W)."""

from torch import Tensor

from medssm.kernels.arguments import check_tensors
from medssm.kernels.conv_transpose3d import _torch
from medssm.kernels.conv_transpose3d._op import conv_transpose3d_op
from medssm.kernels.errors import ShapeError
from medssm.kernels.prediction import takes_torch


def conv_transpose3d(x: Tensor, weight: Tensor, bias: Tensor | None = None, *, backend: str | None = None) -> Tensor:
    """Transposed convolution that doubles the grid, or some of its axes: every voxel becomes a block of 2x2x2, or less.

    y[k, s * p + o] = bias[k] + sum_c weight[c, k, o] * x[c, p] for every offset o of the block; s, 1 or 2 for each
    axis, are its sides.

    Prediction on the CPU in float32 runs natively where every axis is doubled, as one matrix product whose rows are
    written interleaved. Where a gradient is needed, and on other devices, this is torch's own transposed convolution.

    Args:
        x: (B, C, D, H, W).
        weight: (C, K, *s).
        bias: (K,) or None.
        backend: a backend by name; None for the one of `use_backend`.

    Returns: (B, K, s * (D, H, W)).
    Raises: ShapeError if sizes disagree; BackendError if the backend cannot run here.
    """
    check_tensors("conv_transpose3d", (("x", x), ("weight", weight), ("bias", bias)))
    if x.ndim != 5:
        raise ShapeError(f"x has shape {tuple(x.shape)}; it must be (batch, channels, D, H, W)")
    if weight.ndim != 5 or weight.shape[0] != x.shape[1] or not {*weight.shape[2:]} <= {1, 2}:
        raise ShapeError(
            f"weight has shape {tuple(weight.shape)}; it must be ({x.shape[1]}, out, 2, 2, 2), or 1 for axes that stay"
        )
    if bias is not None and bias.shape != weight.shape[1:2]:
        raise ShapeError(f"bias has shape {tuple(bias.shape)}; it must be ({weight.shape[1]},)")
    if takes_torch("conv_transpose3d", backend, x, weight, bias):
        return _torch.forward(x, weight, bias)
    return conv_transpose3d_op(x, weight, bias, backend or "")
