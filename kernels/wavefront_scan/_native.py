"""The scan over a grid on the CPU, in C++ (wavefront_forward.cpp, wavefront_backward.cpp)."""

import torch
from torch import Tensor

from medssm.kernels.grid import Grid
from medssm.kernels.layout import empty_tokens
from medssm.kernels.native import kernel, unavailable
from medssm.kernels.native.packing import PartialSum, address, merge, pack, partial_sum, strided
from medssm.kernels.native.slices import VECTOR, slice_channels, threads_for
from medssm.kernels.wavefront_scan._reference import CHUNK_ROWS
from medssm.kernels.wavefront_scan._tensors import GridTensors

__all__ = ["backward", "forward", "unavailable", "unsupported"]


def unsupported(inputs: GridTensors, *others: object) -> str | None:
    """Why this backend cannot take x (batch, dim, length) and its like; None if it can."""
    if inputs.x.dtype not in (torch.float32, torch.bfloat16):
        return f"the native scan of a grid takes float32 and bfloat16, not {inputs.x.dtype}"
    return None


def forward(inputs: GridTensors, dt_softplus: bool, grid: Grid, save_states: bool) -> tuple[Tensor, Tensor]:
    """Output (batch, dim, length) and checkpoints (batch, chunks, width, state, dim), no chunk if not saved."""
    batch, dim, _ = inputs.x.shape
    height, width = grid.shape
    chunks = (height - 1) // CHUNK_ROWS if save_states else 0
    y = empty_tokens(inputs.x)
    checkpoints = inputs.A_top.new_empty(batch, chunks, width, inputs.A_top.shape[1], dim)
    saved = address(checkpoints) if chunks else 0
    kernel("wavefront_scan_forward")(pack(*_cells(y, grid), saved, *_fields(inputs, dt_softplus, grid)))
    return y, checkpoints


def backward(grad_y: Tensor, inputs: GridTensors, dt_softplus: bool, grid: Grid, checkpoints: Tensor) -> GridTensors:
    """Gradients like the inputs, by that of the output (batch, dim, length)."""
    batch, dim, _ = inputs.x.shape
    slices, slice_dim = slice_channels(dim, batch, VECTOR)
    of_cells = {name: empty_tokens(getattr(inputs, name)) for name in ("x", "dt_top", "dt_left")}
    of_states = {name: partial_sum(empty_tokens(getattr(inputs, name)), slices) for name in ("B_top", "B_left", "C")}
    names = ("A_top", "A_left", "D", "dt_bias_top", "dt_bias_left")
    present = {name: x for name in names if (x := getattr(inputs, name)) is not None}
    of_parameters = {name: partial_sum(x.new_empty(x.shape), batch) for name, x in present.items()}

    def parts(name: str) -> int:
        return address(of_parameters[name][1]) if name in of_parameters else 0

    def axis(name: str) -> tuple[int, ...]:
        sums = _sums(of_states[f"B_{name}"], grid)
        return *_cells(of_cells[f"dt_{name}"], grid), parts(f"A_{name}"), parts(f"dt_bias_{name}"), *sums

    outputs = (*axis("top"), *axis("left"), *_cells(of_cells["x"], grid), parts("D"), *_sums(of_states["C"], grid))
    settings = (address(checkpoints), slices, slice_dim, *_cells(grad_y, grid))
    kernel("wavefront_scan_backward")(pack(*outputs, *settings, *_fields(inputs, dt_softplus, grid)))
    sums = of_states | of_parameters
    merge(list(sums.values()))
    found = of_cells | {name: total for name, (total, _) in sums.items()}
    return GridTensors(**{name: found.get(name) for name in GridTensors._fields})  # type: ignore[arg-type]


def _sums(sums: PartialSum, grid: Grid) -> tuple[int, int, int, int]:
    """The fields of Sums in wavefront_backward.cpp: parts (slices, batch, length, state)."""
    total, parts = sums
    batch, state, length = total.shape
    per_part = parts.view(-1, batch, length, state)
    start, batch_stride, _, token = _cells(per_part[0].transpose(1, 2), grid)
    return start, parts.stride(0), batch_stride, token


def _fields(inputs: GridTensors, dt_softplus: bool, grid: Grid) -> tuple[int, ...]:
    """Those of GridInputs in wavefront.h."""
    x, dt_top, dt_left, A_top, A_left, B_top, B_left, C, D, dt_bias_top, dt_bias_left = inputs
    batch, dim, length = x.shape
    state = A_top.shape[1]
    threads = threads_for(batch * dim * length * state)
    sizes = (batch, dim, *grid.shape, state, dt_softplus, x.dtype == torch.bfloat16, threads)
    top = (*strided(A_top, 2), *strided(dt_bias_top, 1), *_cells(dt_top, grid), *_coefficients(B_top, grid))
    left = (*strided(A_left, 2), *strided(dt_bias_left, 1), *_cells(dt_left, grid), *_coefficients(B_left, grid))
    return *sizes, *top, *left, *strided(D, 1), *_cells(x, grid), *_coefficients(C, grid)


def _cells(tensor: Tensor, grid: Grid) -> tuple[int, int, int, int]:
    """Address of the first cell visited, and strides; cells are walked backwards if the grid is reversed."""
    start, (batch, channel, token) = tensor.data_ptr(), tensor.stride()
    if all(grid.reverse):
        return start + (tensor.shape[2] - 1) * token * tensor.element_size(), batch, channel, -token
    return start, batch, channel, token


def _coefficients(tensor: Tensor, grid: Grid) -> tuple[int, ...]:
    """As `_cells`, with the stride of the one group of B or C."""
    start, batch, state, token = _cells(tensor, grid)
    return start, batch, 0, state, token
