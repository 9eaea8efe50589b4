"""The scan over a grid and its gradient as their equations, in plain PyTorch; any dtype and device.

Cells of one anti-diagonal need only those of the one before, so the loop is over anti-diagonals and a step takes all
cells of one: (batch, cells, dim, state), cells from the top row down.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

from medssm.kernels.anywhere import unavailable, unsupported
from medssm.kernels.grid import Grid
from medssm.kernels.layout import laid_out
from medssm.kernels.wavefront_scan._tensors import GridTensors

__all__ = ["backward", "forward", "unavailable", "unsupported"]

CHUNK_ROWS = 8  # rows between two checkpoints, the same in every backend


@dataclass(frozen=True)
class Diagonals:
    """The cells of a grid, anti-diagonal by anti-diagonal."""

    height: int
    width: int

    @cached_property
    def rows(self) -> list[range]:
        """The rows of the cells of each anti-diagonal i + j = 0, 1, ..."""
        last = self.height + self.width - 1
        return [range(max(0, k - self.width + 1), min(k, self.height - 1) + 1) for k in range(last)]

    def places(self, device: torch.device) -> Tensor:
        """The number of each cell row by row, (cells,), in the order of the anti-diagonals."""
        places = [i * self.width + k - i for k, rows in enumerate(self.rows) for i in rows]
        return torch.tensor(places, device=device)

    def split(self, cells: Tensor) -> list[Tensor]:
        """A tensor (batch, length, ...) in the order of the anti-diagonals, cut into them."""
        return list(cells.split([len(rows) for rows in self.rows], dim=1))

    def neighbours(self, states: Tensor, of: int, at: int, offset: int) -> Tensor:
        """For the cells (i, j) of anti-diagonal `at`, the `states` beside them in row i + offset; 0 outside the grid.

        `states` are those of anti-diagonal `of`, the one before or after `at`.
        """
        first, last = (self.rows[at][end] + offset - self.rows[of].start + 1 for end in (0, -1))
        return F.pad(states, (0, 0, 0, 0, 1, 1))[:, first : last + 1]


@dataclass(frozen=True)
class Axis:
    """One of the two axes, anti-diagonal by anti-diagonal.

    Attributes:
        step: (batch, cells, dim, 1) each; 0 where this axis does not act, whatever was given there.
        A: (dim, state).
        B: (batch, cells, 1, state) each; 0 likewise.
        weight: (1, cells, 1, 1) each: a half where both axes act, 1 where this one does alone, else 0.
    """

    step: list[Tensor]
    A: Tensor
    B: list[Tensor]
    weight: list[Tensor]

    def decay(self, k: int) -> Tensor:
        """What a neighbour's state keeps, (batch, cells, dim, state), on anti-diagonal `k`."""
        return torch.where(self.weight[k] > 0, self.weight[k] * torch.exp(self.step[k] * self.A), 0)

    def enters(self, k: int, x: Tensor) -> Tensor:
        """What x (batch, cells, dim, 1) adds to the state, (batch, cells, dim, state), on anti-diagonal `k`."""
        return self.weight[k] * self.step[k] * self.B[k] * x

    def gradients(self, k: int, g: Tensor, g_carried: Tensor, h: Tensor, x: Tensor) -> tuple[Tensor, ...]:
        """Of the step, A, B and x, in their shapes, by that of the state and that carried to `h`, the state beside."""
        through = (g * self.B[k]).sum(-1, keepdim=True) * self.weight[k]
        exponent = g_carried * h
        dstep = (exponent * self.A).sum(-1, keepdim=True) + through * x
        dB = (g * (self.weight[k] * self.step[k] * x)).sum(2, keepdim=True)
        return dstep, (exponent * self.step[k]).sum((0, 1)), dB, through * self.step[k]


def wavefront_equation(inputs: GridTensors, dt_softplus: bool, grid: Grid) -> tuple[Tensor, Tensor]:
    """Output and checkpoints; differentiable, in time linear in the number of cells.

    Returns: (batch, dim, length), (batch, chunks, width, state, dim).
    """
    diagonals, order = _diagonals(grid), _order(grid, inputs.x.device)
    x, C = (_visit(t, inputs, grid) for t in (inputs.x, inputs.C))
    x_split = diagonals.split(x[..., None])
    hs = _states(diagonals, *_axes(inputs, dt_softplus, grid), x_split)
    ys = [(h * C_k).sum(-1) for h, C_k in zip(hs, diagonals.split(C[:, :, None]), strict=True)]
    y = torch.cat(ys, dim=1)
    if inputs.D is not None:
        y = y + inputs.D * x
    return _put_back(y, order).to(inputs.x.dtype), _checkpoints(diagonals, hs)


def forward(inputs: GridTensors, dt_softplus: bool, grid: Grid, save_states: bool) -> tuple[Tensor, Tensor]:
    """Output (batch, dim, length) and checkpoints (batch, chunks, width, state, dim), no chunk if not saved."""
    y, checkpoints = wavefront_equation(inputs, dt_softplus, grid)
    return laid_out(y), checkpoints if save_states else checkpoints[:, :0].clone()


def backward(grad_y: Tensor, inputs: GridTensors, dt_softplus: bool, grid: Grid, checkpoints: Tensor) -> GridTensors:
    """Gradients like the inputs, by that of the output (batch, dim, length)."""
    diagonals, order = _diagonals(grid), _order(grid, inputs.x.device)
    x, C, gy = (_visit(t, inputs, grid) for t in (inputs.x, inputs.C, grad_y))
    x_split, gy_split = (diagonals.split(t[..., None]) for t in (x, gy))
    C_split = diagonals.split(C[:, :, None])
    axes = _axes(inputs, dt_softplus, grid)
    hs = _states(diagonals, *axes, x_split)

    found = []
    carried: list[Tensor] = []
    for k in reversed(range(len(hs))):
        g = gy_split[k] * C_split[k]
        if carried:
            below, beside = (diagonals.neighbours(c, k + 1, k, 1 - n) for n, c in enumerate(carried))
            g = g + below + beside
        carried = [axis.decay(k) * g for axis in axes]
        of_axes = zip(axes, carried, _before(diagonals, hs, k), strict=True)
        of_top, of_left = (axis.gradients(k, g, c, h, x_split[k]) for axis, c, h in of_axes)
        found.append((*of_top, *of_left, (gy_split[k] * hs[k]).sum(2, keepdim=True)))

    # (batch, cells, ...) of all anti-diagonals, but for A, where they are summed
    dt_top, A_top, B_top, x_top, dt_left, A_left, B_left, x_left, dC = zip(*reversed(found), strict=True)
    ddt_top, ddt_left = (torch.cat(t, 1).squeeze(-1) for t in (dt_top, dt_left))
    dB_top, dB_left, dC_all = (torch.cat(t, 1).squeeze(2) for t in (B_top, B_left, dC))
    dx = (torch.cat(x_top, 1) + torch.cat(x_left, 1)).squeeze(-1)
    dx = dx if inputs.D is None else dx + inputs.D * gy
    ddt_top, ddt_bias_top = _before_softplus(ddt_top, inputs.dt_top, inputs.dt_bias_top, inputs, dt_softplus, grid)
    ddt_left, ddt_bias_left = _before_softplus(ddt_left, inputs.dt_left, inputs.dt_bias_left, inputs, dt_softplus, grid)

    def put_back(cells: Tensor) -> Tensor:
        return laid_out(_put_back(cells, order).to(inputs.x.dtype))

    return GridTensors(
        x=put_back(dx),
        dt_top=put_back(ddt_top),
        dt_left=put_back(ddt_left),
        A_top=torch.stack(A_top).sum(0),
        A_left=torch.stack(A_left).sum(0),
        B_top=put_back(dB_top),
        B_left=put_back(dB_left),
        C=put_back(dC_all),
        D=None if inputs.D is None else (gy * x).sum((0, 1)),
        dt_bias_top=ddt_bias_top,
        dt_bias_left=ddt_bias_left,
    )


def _diagonals(grid: Grid) -> Diagonals:
    height, width = grid.shape
    return Diagonals(height, width)


def _order(grid: Grid, device: torch.device) -> Tensor:
    """Position in memory of each cell, in the order of the anti-diagonals."""
    return grid.visits(device)[_diagonals(grid).places(device)].long()


def _visit(t: Tensor, inputs: GridTensors, grid: Grid) -> Tensor:
    """(batch, length, channels), in the order of the anti-diagonals and the dtype of the recurrence."""
    return t.transpose(1, 2).to(inputs.A_top.dtype).index_select(1, _order(grid, t.device))


def _put_back(cells: Tensor, order: Tensor) -> Tensor:
    """(batch, length, channels) to (batch, channels, length), each cell in its place."""
    return torch.empty_like(cells).index_copy(1, order, cells).transpose(1, 2)


def _step_size(dt: Tensor, dt_bias: Tensor | None, dt_softplus: bool) -> Tensor:
    dt = dt if dt_bias is None else dt + dt_bias
    return F.softplus(dt) if dt_softplus else dt


def _before_softplus(
    dstep: Tensor, dt: Tensor, dt_bias: Tensor | None, inputs: GridTensors, dt_softplus: bool, grid: Grid
) -> tuple[Tensor, Tensor | None]:
    """GridTensors of dt and its bias by that of the step."""
    if dt_softplus:
        dstep = dstep * torch.sigmoid(_step_size(_visit(dt, inputs, grid), dt_bias, False))
    return dstep, None if dt_bias is None else dstep.sum((0, 1))


def _axes(inputs: GridTensors, dt_softplus: bool, grid: Grid) -> tuple[Axis, Axis]:
    """What comes from the cell above, and from the cell to the left."""
    diagonals = _diagonals(grid)
    places = diagonals.places(inputs.x.device)
    has_top, has_left = places >= diagonals.width, places % diagonals.width > 0
    share = torch.where(has_top & has_left, 0.5, 1.0).to(inputs.A_top.dtype)

    def axis(dt: Tensor, dt_bias: Tensor | None, A: Tensor, B: Tensor, acts: Tensor) -> Axis:
        step = _step_size(_visit(dt, inputs, grid), dt_bias, dt_softplus)
        weight = (acts * share)[None, :, None, None]
        steps, coefficients = step[..., None], _visit(B, inputs, grid)[:, :, None]
        split = diagonals.split
        steps, coefficients = (torch.where(weight > 0, x, 0) for x in (steps, coefficients))
        return Axis(split(steps), A, split(coefficients), split(weight))

    top = axis(inputs.dt_top, inputs.dt_bias_top, inputs.A_top, inputs.B_top, has_top)
    left = axis(inputs.dt_left, inputs.dt_bias_left, inputs.A_left, inputs.B_left, has_left | ~has_top)
    return top, left


def _states(diagonals: Diagonals, top: Axis, left: Axis, x: list[Tensor]) -> list[Tensor]:
    """h of each anti-diagonal, (batch, cells, dim, state)."""
    hs: list[Tensor] = []
    for k, x_k in enumerate(x):
        h = top.enters(k, x_k) + left.enters(k, x_k)
        if k > 0:
            above, beside = _before(diagonals, hs, k)
            h = top.decay(k) * above + left.decay(k) * beside + h
        hs.append(h)
    return hs


def _before(diagonals: Diagonals, hs: list[Tensor], k: int) -> tuple[Tensor, Tensor]:
    """The states above and to the left of the cells of anti-diagonal k; 0 outside the grid."""
    if k == 0:
        return torch.zeros_like(hs[0]), torch.zeros_like(hs[0])
    return diagonals.neighbours(hs[k - 1], k - 1, k, -1), diagonals.neighbours(hs[k - 1], k - 1, k, 0)


def _checkpoints(diagonals: Diagonals, hs: list[Tensor]) -> Tensor:
    """(batch, chunks, width, state, dim): the row of states above every CHUNK_ROWS-th row but the first."""
    batch, _, dim, state = hs[0].shape
    rows = range(CHUNK_ROWS - 1, diagonals.height - 1, CHUNK_ROWS)
    cells = [hs[i + j][:, i - diagonals.rows[i + j].start] for i in rows for j in range(diagonals.width)]
    if not cells:
        return hs[0].new_empty(batch, 0, diagonals.width, state, dim)
    stacked = torch.stack([h.transpose(1, 2) for h in cells], dim=1)
    return stacked.unflatten(1, (len(rows), diagonals.width)).contiguous()
