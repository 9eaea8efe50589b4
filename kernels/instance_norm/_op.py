"""Instance norm at prediction as two torch operators, one in place: dispatch and fake. They have no gradient."""

from torch import Tensor

from medssm.kernels.dispatch import Operator
from medssm.kernels.errors import BackendError
from medssm.kernels.torch_operator import torch_operator

OPERATOR = Operator(
    "instance_norm",
    {"native": "medssm.kernels.instance_norm._native", "torch": "medssm.kernels.instance_norm._torch"},
)


def _forward_fake(x: Tensor, residual: Tensor | None, eps: float, negative_slope: float | None, backend: str) -> Tensor:
    return x.new_empty(x.shape)


@torch_operator("instance_norm", fake=_forward_fake)
def instance_norm_op(
    x: Tensor, residual: Tensor | None, eps: float, negative_slope: float | None, backend: str
) -> Tensor:
    """(B, C, D, H, W), contiguous; the arguments are those of `instance_norm`, checked."""
    chosen = OPERATOR.choose(backend, x.device, x, residual)
    return chosen.forward(x, residual, eps, negative_slope).contiguous()


@torch_operator("instance_norm_", mutates_args=("x",))
def instance_norm_inplace_op(
    x: Tensor, residual: Tensor | None, eps: float, negative_slope: float | None, backend: str
) -> None:
    """The same, written over x (B, C, D, H, W).

    Raises: BackendError if a gradient is needed, as in a program that was exported without: it would pass by unseen.
    """
    if x.requires_grad or (residual is not None and residual.requires_grad):
        raise BackendError("instance_norm in place computes no gradients; export the program with gradients enabled")
    OPERATOR.choose(backend, x.device, x, residual).forward_(x, residual, eps, negative_slope)
