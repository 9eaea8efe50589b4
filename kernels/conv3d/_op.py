"""The convolution at prediction as one torch operator: dispatch and fake. It has no gradient."""

from collections.abc import Sequence

from torch import Tensor

from medssm.kernels.dispatch import Operator
from medssm.kernels.torch_operator import torch_operator

OPERATOR = Operator("conv3d", {"native": "medssm.kernels.conv3d._native", "torch": "medssm.kernels.conv3d._torch"})


def _forward_fake(parts: Sequence[Tensor], weight: Tensor, bias: Tensor | None, backend: str) -> Tensor:
    batch, _, *grid = parts[0].shape
    return parts[0].new_empty(batch, weight.shape[0], *grid)


@torch_operator("conv3d", fake=_forward_fake)
def conv3d_op(parts: Sequence[Tensor], weight: Tensor, bias: Tensor | None, backend: str) -> Tensor:
    """(B, K, D, H, W), contiguous; the arguments are those of `conv3d`, checked."""
    chosen = OPERATOR.choose(backend, weight.device, parts, weight, bias)
    return chosen.forward(parts, weight, bias).contiguous()
