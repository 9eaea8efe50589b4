"""The 3-D convolutions of a UNETR decoder: 3x3x3 with padding 1, and 1x1x1. Tensors are (B, C, D, H, W)."""

from collections.abc import Sequence

from torch import Tensor

from medssm.kernels.arguments import check_tensors
from medssm.kernels.conv3d import _torch
from medssm.kernels.conv3d._op import conv3d_op
from medssm.kernels.errors import ShapeError
from medssm.kernels.prediction import takes_torch


def conv3d(
    x: Tensor | Sequence[Tensor], weight: Tensor, bias: Tensor | None = None, *, backend: str | None = None
) -> Tensor:
    """Convolution of stride 1 that keeps the grid.

    y[k, p] = bias[k] + sum_c sum_o weight[k, c, o] * x[c, p + o - centre], where x is 0 outside the grid.

    Prediction on the CPU in float32 runs natively: Winograd's minimal filtering for 3x3x3 kernels, 3.4 times fewer
    multiplications. Where a gradient is needed, and on other devices, this is torch's own convolution.

    Args:
        x: (B, C, D, H, W); or several such tensors, taken as one concatenated along C, without the copy.
        weight: (K, C, 3, 3, 3) or (K, C, 1, 1, 1).
        bias: (K,) or None.
        backend: a backend by name; None for the one of `use_backend`.

    Returns: (B, K, D, H, W).
    Raises: ShapeError if sizes disagree; BackendError if the backend cannot run here.
    Source: Lavin & Gray 2015, arXiv:1509.09308, F(2x2, 3x3), here with a third axis.
    """
    parts = [x] if isinstance(x, Tensor) else list(x)
    _check(parts, weight, bias)
    if takes_torch("conv3d", backend, *parts, weight, bias):
        return _torch.forward(parts, weight, bias)
    return conv3d_op(parts, weight, bias, backend or "")


def _check(parts: list[Tensor], weight: Tensor, bias: Tensor | None) -> None:
    check_tensors("conv3d", (*(("x", part) for part in parts), ("weight", weight), ("bias", bias)))
    if not parts or any(part.ndim != 5 for part in parts):
        raise ShapeError(f"x has shape {[tuple(p.shape) for p in parts]}; it must be (batch, channels, D, H, W)")
    if any(part.shape[0] != parts[0].shape[0] or part.shape[2:] != parts[0].shape[2:] for part in parts):
        raise ShapeError(f"x has parts of shapes {[tuple(p.shape) for p in parts]}; only their channels may differ")
    channels = sum(part.shape[1] for part in parts)
    if weight.ndim != 5 or weight.shape[1] != channels or weight.shape[2:] not in ((3, 3, 3), (1, 1, 1)):
        raise ShapeError(
            f"weight has shape {tuple(weight.shape)}; it must be (out, {channels}, k, k, k) with k = 3 or 1"
        )
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ShapeError(f"bias has shape {tuple(bias.shape)}; it must be ({weight.shape[0]},)")
