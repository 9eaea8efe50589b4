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
    return x.new_empty(batch, weight.shape[1], *(n * side for n, side in zip(grid, weight.shape[2:], strict=True)))


@torch_operator("conv_transpose3d", fake=_forward_fake)
def conv_transpose3d_op(x: Tensor, weight: Tensor, bias: Tensor | None, backend: str) -> Tensor:
    """(B, K, s * (D, H, W)), contiguous; the arguments are those of `conv_transpose3d`, checked."""
    return OPERATOR.choose(backend, x.device, x, weight, bias).forward(x, weight, bias).contiguous()
