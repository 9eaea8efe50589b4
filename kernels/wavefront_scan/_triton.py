"""The scan over a grid on GPUs, in Triton.

A program walks a block of channels over the whole grid, in strips of CHUNK_ROWS rows, so that the rows of states that
pass from strip to strip are the checkpoints. The backward pass keeps the states of one strip at a time in memory:
CHUNK_ROWS / height of all of them. Sums over channels and batch go through scratch memory and are added in a fixed
order, so results do not depend on timing.
"""

from typing import Any

import torch
from torch import Tensor

from medssm.kernels.grid import Grid
from medssm.kernels.layout import empty_tokens
from medssm.kernels.triton_device import programs_to_fill, unavailable
from medssm.kernels.wavefront_scan._reference import CHUNK_ROWS
from medssm.kernels.wavefront_scan._tensors import GridTensors

__all__ = ["backward", "forward", "unavailable", "unsupported"]

# Channels of a program, the most with which programs fill the device, and states of a thread; with 16 channels, or 16
# states, the backward spills 40 to 70 registers.
FORWARD_CHANNELS, FORWARD_STATES = (16, 8, 4), 16
BACKWARD_CHANNELS, BACKWARD_STATES = (8, 4), 8


def unsupported(inputs: GridTensors, *others: object) -> str | None:
    """Why this backend cannot take x (batch, dim, length) and its like; None if it can."""
    if inputs.x.dtype not in (torch.float32, torch.bfloat16, torch.float16):
        return f"the triton scan computes in float32 and has no {inputs.x.dtype}"
    return None


def forward(inputs: GridTensors, dt_softplus: bool, grid: Grid, save_states: bool) -> tuple[Tensor, Tensor]:
    """Output (batch, dim, length) and checkpoints (batch, chunks, width, state, dim), no chunk if not saved."""
    from medssm.kernels.wavefront_scan._triton_kernels import wavefront_forward

    batch, dim, _ = inputs.x.shape
    height, width = grid.shape
    y = empty_tokens(inputs.x)
    strips = (height - 1) // CHUNK_ROWS
    shape = (width, inputs.A_top.shape[1], dim)
    checkpoints = inputs.A_top.new_empty(batch, strips if save_states else 0, *shape)
    rows = checkpoints if save_states else inputs.A_top.new_empty(batch, min(strips, 2), *shape)
    channels = _channels(inputs, FORWARD_CHANNELS)
    sizes = _sizes(inputs, dt_softplus, grid, max(1, rows.shape[1]), channels, FORWARD_STATES)
    wavefront_forward[(batch * sizes["sizes"][4],)](y, rows, _arguments(inputs), **sizes)
    return y, checkpoints


def backward(grad_y: Tensor, inputs: GridTensors, dt_softplus: bool, grid: Grid, checkpoints: Tensor) -> GridTensors:
    """Gradients like the inputs, by that of the output (batch, dim, length)."""
    from medssm.kernels.wavefront_scan._triton_kernels import wavefront_backward

    A = inputs.A_top
    batch, dim, length = inputs.x.shape
    _, width = grid.shape
    channels = _channels(inputs, BACKWARD_CHANNELS)
    sizes = _sizes(inputs, dt_softplus, grid, max(1, checkpoints.shape[1]), channels, BACKWARD_STATES)
    blocks, state = sizes["sizes"][4], A.shape[1]
    dx, ddt_top, ddt_left = (empty_tokens(t) for t in (inputs.x, inputs.dt_top, inputs.dt_left))
    dA_top, dA_left = A.new_empty(2, batch, dim, state)
    dB_top, dB_left, dC = A.new_empty(3, batch, blocks, length, state)
    dD, ddt_bias_top, ddt_bias_left = A.new_empty(3, batch, dim)
    tile = CHUNK_ROWS * sizes["N"] * sizes["W"]
    hs = A.new_empty(batch, blocks, width + CHUNK_ROWS - 1, tile)
    carried = A.new_empty(batch, 2, width, state, dim)
    of_cells, of_parameters = (dx, ddt_top, ddt_left), (dA_top, dA_left)
    of_states, of_vectors = (dB_top, dB_left, dC), (dD, ddt_bias_top, ddt_bias_left)
    outputs = (*of_cells, *of_parameters, *of_states, *of_vectors, hs, carried)
    given = (grad_y, grad_y.stride(), checkpoints, _arguments(inputs))
    wavefront_backward[(batch * blocks,)](*outputs, *given, **sizes)
    return GridTensors(
        dx,
        ddt_top,
        ddt_left,
        dA_top.sum(0),
        dA_left.sum(0),
        _sum_blocks(dB_top, inputs.B_top),
        _sum_blocks(dB_left, inputs.B_left),
        _sum_blocks(dC, inputs.C),
        None if inputs.D is None else dD.sum(0),
        None if inputs.dt_bias_top is None else ddt_bias_top.sum(0),
        None if inputs.dt_bias_left is None else ddt_bias_left.sum(0),
    )


def _arguments(inputs: GridTensors) -> tuple[Any, ...]:
    """The inputs as the kernels take them: strides after activations, parameters contiguous."""
    given: list[Any] = []
    for t in inputs:
        if t is None or t.ndim < 3:
            given.append(None if t is None else t.contiguous())
        else:
            given += [t, t.stride()]
    return tuple(given)


def _channels(inputs: GridTensors, candidates: tuple[int, ...]) -> int:
    """Channels of a program: the first of `candidates`, largest first, with which programs fill the device."""
    batch, dim, _ = inputs.x.shape
    wanted = programs_to_fill(inputs.x.device)
    return next((w for w in candidates if batch * -(-dim // w) >= wanted), candidates[-1])


def _sizes(
    inputs: GridTensors, dt_softplus: bool, grid: Grid, slots: int, channels: int, thread_states: int
) -> dict[str, Any]:
    """What both kernels take after their tensors; `slots` are those of the rows between strips."""
    dim = inputs.x.shape[1]
    height, width = grid.shape
    state = inputs.A_top.shape[1]
    padded = 1 << (state - 1).bit_length()
    return {
        "sizes": (height, width, dim, state, -(-dim // channels), slots),
        "REVERSE": all(grid.reverse),
        "SOFTPLUS": dt_softplus,
        "R": CHUNK_ROWS,
        "N": padded,
        "W": channels,
        "num_warps": min(8, max(1, CHUNK_ROWS * padded * channels // (32 * thread_states))),
        "enable_fp_fusion": True,
    }


def _sum_blocks(partial: Tensor, like: Tensor) -> Tensor:
    """(batch, blocks, length, state) summed over its blocks, as (batch, state, length)."""
    total = empty_tokens(like)
    total.copy_(partial.sum(1).transpose(1, 2))
    return total
