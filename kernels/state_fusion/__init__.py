"""Mixes the states of neighbouring tokens of a 2-D grid by dilated depthwise kernels: structure-aware state fusion."""

import math
from collections.abc import Sequence

from torch import Tensor

from medssm.kernels.arguments import check_tensors, parameter_dtype, refuse_tangents
from medssm.kernels.errors import ShapeError
from medssm.kernels.grid import check_length
from medssm.kernels.state_fusion._op import state_fusion_op


def state_fusion(
    h: Tensor,
    kernels: Tensor,
    alpha: Tensor,
    *,
    shape: tuple[int, int],
    dilations: Sequence[int] = (1, 3, 5),
    backend: str | None = None,
) -> Tensor:
    """Each state with a weighted sum of its neighbours at several distances, channel by channel.

    fused[i, j] = sum over k and p, q = -1, 0, 1 of alpha[k] * kernels[k, p + 1, q + 1] * h[i + d[k] p, j + d[k] q]

    A place outside the grid means the nearest one inside. There is no bias.

    Args:
        h: (batch, dim, length), row by row on the grid; any strides: fastest when `dim` is contiguous in memory.
        kernels: (dilations, dim, 3, 3), each applied as it is (a correlation).
        alpha: (dilations,), a factor for each kernel.
        shape: (height, width) of the grid.
        dilations: d, the distance of the neighbours in cells, of each kernel.
        backend: a backend by name; None for the one of `use_backend`.

    Returns: (batch, dim, length), of the dtype of h, channels-last in memory.
    Raises: ShapeError if sizes disagree; BackendError if the backend cannot run here.
    Source: Xiao et al. 2024, arXiv:2410.15091 (Spatial-Mamba), structure-aware state fusion.
    """
    _check(h, kernels, alpha, shape, dilations)
    # The product is part of every call and of its gradient: a kernel merged once would outlive the weights it is of.
    weights = alpha.to(parameter_dtype(h))[:, None, None, None] * kernels.to(parameter_dtype(h))
    # A distance beyond the grid reaches its border from everywhere; a longer one is the same and takes more memory.
    dilations = [min(dilation, max(shape)) for dilation in dilations]
    return state_fusion_op(h, weights, list(shape), dilations, backend or "")


def _check(h: Tensor, kernels: Tensor, alpha: Tensor, shape: tuple[int, int], dilations: Sequence[int]) -> None:
    check_tensors("state_fusion", (("h", h), ("kernels", kernels), ("alpha", alpha)))
    refuse_tangents("state_fusion", (h, kernels, alpha))
    if h.ndim != 3 or 0 in h.shape[1:]:
        raise ShapeError(f"h has shape {tuple(h.shape)}; it must be (batch, dim, length), dim and length not 0")
    check_length(h.shape[2])
    if len(shape) != 2 or min(shape) < 1 or math.prod(shape) != h.shape[2]:
        raise ShapeError(f"shape {tuple(shape)} must be (height, width) of the {h.shape[2]} tokens of h")
    if not dilations or min(dilations) < 1:
        raise ShapeError(f"dilations are {tuple(dilations)}; give one or more, each at least 1")
    expected = {"kernels": (kernels, (len(dilations), h.shape[1], 3, 3)), "alpha": (alpha, (len(dilations),))}
    for name, (tensor, wanted) in expected.items():
        if tensor.shape != wanted:
            raise ShapeError(f"{name} has shape {tuple(tensor.shape)}; for h and the dilations it must be {wanted}")
