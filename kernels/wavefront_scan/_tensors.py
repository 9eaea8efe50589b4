"""The tensors of one scan, handed from the operator to a backend together; their gradients come back in the same."""

from typing import NamedTuple

from torch import Tensor


class GridTensors(NamedTuple):
    """The tensors of `wavefront_scan`, checked; the parameters A, D and dt_bias in the dtype of the recurrence.

    Or their gradients, each like its tensor; None where that is absent. The axes: `top` follows the columns, from the
    cell above, `left` the rows, from the cell to the left.

    Attributes:
        x, dt_top, dt_left: (batch, dim, length). A_top, A_left: (dim, state). B_top, B_left, C: (batch, state, length).
        D, dt_bias_top, dt_bias_left: (dim,).
    """

    x: Tensor
    dt_top: Tensor
    dt_left: Tensor
    A_top: Tensor
    A_left: Tensor
    B_top: Tensor
    B_left: Tensor
    C: Tensor
    D: Tensor | None
    dt_bias_top: Tensor | None
    dt_bias_left: Tensor | None
