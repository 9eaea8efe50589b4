"""The tensors of one scan, handed from the operator to a backend together; their gradients come back in the same."""

from typing import NamedTuple

from torch import Tensor


class ScanTensors(NamedTuple):
    """The tensors of `nd_selective_scan`, checked; the parameters A, D and dt_bias in the dtype of the recurrence.

    Or their gradients, each like its tensor; None where that is absent.

    Attributes:
        u, dt, z: (batch, dim, length). A: (dim, state). B, C: (batch, groups, state, length). D, dt_bias: (dim,).
    """

    u: Tensor
    dt: Tensor
    A: Tensor
    B: Tensor
    C: Tensor
    D: Tensor | None
    z: Tensor | None
    dt_bias: Tensor | None
