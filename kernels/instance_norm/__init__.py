"""Instance norm with what follows it in a residual block: the skip and the LeakyReLU. Tensors are (B, C, D, H, W)."""

from torch import Tensor

from medssm.kernels.arguments import check_tensors
from medssm.kernels.errors import ShapeError
from medssm.kernels.instance_norm import _torch
from medssm.kernels.instance_norm._op import instance_norm_inplace_op, instance_norm_op
from medssm.kernels.prediction import takes_torch


def instance_norm(
    x: Tensor,
    *,
    eps: float = 1e-5,
    residual: Tensor | None = None,
    negative_slope: float | None = None,
    inplace: bool = False,
    backend: str | None = None,
) -> Tensor:
    """Every channel of every sample brought to mean 0 and variance 1, plus a residual, activated.

    y = leaky_relu((x - mean(x)) / sqrt(var(x) + eps) + residual), the mean and the biased variance over the grid.

    Prediction on the CPU in float32 runs natively, in one pass over memory. Where a gradient is needed, and on other
    devices, this is made of torch's own operators.

    Args:
        x: (B, C, D, H, W).
        residual: like x; None for none.
        negative_slope: of the LeakyReLU; None for no activation.
        inplace: x is no longer needed; its memory may be taken for the result.
        backend: a backend by name; None for the one of `use_backend`.

    Returns: (B, C, D, H, W).
    Raises: ShapeError if sizes disagree; BackendError if the backend cannot run here.
    Source: Ulyanov et al. 2016, arXiv:1607.08022, equation 2.
    """
    check_tensors("instance_norm", (("x", x), ("residual", residual)))
    if x.ndim != 5:
        raise ShapeError(f"x has shape {tuple(x.shape)}; it must be (batch, channels, D, H, W)")
    if residual is not None and residual.shape != x.shape:
        raise ShapeError(f"residual has shape {tuple(residual.shape)}; it must be {tuple(x.shape)}")
    if takes_torch("instance_norm", backend, x, residual):
        return _torch.forward(x, residual, eps, negative_slope)
    if inplace and not x.requires_grad and (residual is None or not residual.requires_grad):
        instance_norm_inplace_op(x, residual, eps, negative_slope, backend or "")
        return x
    return instance_norm_op(x, residual, eps, negative_slope, backend or "")
