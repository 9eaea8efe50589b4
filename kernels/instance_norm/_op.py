"""Instance norm at prediction as two torch operators, one in place: dispatch and fake. They have no gradient."""

import torch
from torch import Tensor

from medssm.kernels.dispatch import Operator

OPERATOR = Operator(
    "instance_norm",
    {"native": "medssm.kernels.instance_norm._native", "torch": "medssm.kernels.instance_norm._torch"},
)


@torch.library.custom_op("medssm::instance_norm", mutates_args=())
def normalise(x: Tensor, residual: Tensor | None, eps: float, negative_slope: float | None, backend: str) -> Tensor:
    """(B, C, D, H, W), contiguous; the arguments are those of `instance_norm`, checked."""
    chosen = OPERATOR.choose(backend, x.device, x, residual)
    return chosen.forward(x, residual, eps, negative_slope).contiguous()


@normalise.register_fake
def _normalise_fake(
    x: Tensor, residual: Tensor | None, eps: float, negative_slope: float | None, backend: str
) -> Tensor:
    return x.new_empty(x.shape)


@torch.library.custom_op("medssm::instance_norm_", mutates_args=("x",))
def normalise_(x: Tensor, residual: Tensor | None, eps: float, negative_slope: float | None, backend: str) -> None:
    """The same, written over x."""
    OPERATOR.choose(backend, x.device, x, residual).forward_(x, residual, eps, negative_slope)
