"""The up-convolution at prediction as one torch operator: dispatch and fake. It has no gradient."""

from torch import Tensor

from medssm.kernels.dispatch import Operator
from medssm.kernels.torch_operator import torch_operator

OPERATOR = Operator(
    "conv_transpose3d",
    {"native": "medssm.kernels.conv_transpose3d._native", "torch": "medssm.kernels.conv_transpose3d._torch"},
)


def _forward_fake(x: Tensor, weight: Tensor, bias: Tensor | None, backend: str) -> Tensor:
    batch, _, *grid = x.shape
    return x.new_empty(batch, weight.shape[1], *(2 * size for size in grid))


@torch_operator("conv_transpose3d", fake=_forward_fake)
def conv_transpose3d_op(x: Tensor, weight: Tensor, bias: Tensor | None, backend: str) -> Tensor:
    """(B, K, 2D, 2H, 2W), contiguous; the arguments are those of `conv_transpose3d`, checked."""
    return OPERATOR.choose(backend, x.device, x, weight, bias).forward(x, weight, bias).contiguous()
