"""The tensors of one scan of states, handed from the operator to a backend together; their gradients come back so."""

from typing import NamedTuple

from torch import Tensor


class StateTensors(NamedTuple):
    """The tensors of `state_scan`, checked; the parameters A and dt_bias in the dtype of the recurrence.

    Or their gradients, each like its tensor; None where that is absent.

    Attributes:
        u, dt: (batch, dim, length). A: (dim, state). B: (batch, state, length). dt_bias: (dim,).
    """

    u: Tensor
    dt: Tensor
    A: Tensor
    B: Tensor
    dt_bias: Tensor | None
