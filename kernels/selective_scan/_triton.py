"""The scan on GPUs, in Triton.

Lanes are channels: a program of one warp walks a block of channels through the tokens and keeps all their states in
registers. Where batch and channels are too few to fill the device, the sequence is cut into spans and scanned at two
levels: every span from zero, the states carried from span to span, and every span again from the state that enters
it. The order of a grid only changes the table of addresses. Sums over channels, batch and spans go through scratch
memory and are added in a fixed order, so results do not depend on timing.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from medssm.kernels.grid import Grid
from medssm.kernels.layout import empty_states, empty_tokens
from medssm.kernels.selective_scan._reference import CHUNK
from medssm.kernels.selective_scan._tensors import ScanTensors
from medssm.kernels.triton_device import programs_to_fill, unavailable

__all__ = ["backward", "forward", "unavailable", "unsupported"]

CHUNKS_PER_SPAN = 4  # shorter spans cost more in carrying than they gain
STATES_PER_THREAD = 16
FORWARD_UNROLL = 4
BACKWARD_UNROLL = 4
# Blocks (j, w) of j * w channels. In the forward pass a warp's lanes are 32 channels, or fewer with the states shared
# among them; backward, sums over channels and over states both cross lanes, so neither may have all of them.
FORWARD_BLOCKS = ((1, 32), (1, 16), (1, 8))
BACKWARD_BLOCKS = ((2, 8), (1, 8))


def unsupported(inputs: Any, *others: object) -> str | None:
    if inputs.u.dtype not in (torch.float32, torch.bfloat16, torch.float16):
        return f"the triton scan computes in float32 and has no {inputs.u.dtype}"
    return None


@dataclass(frozen=True)
class Tiling:
    """How the work is cut: blocks of j * w channels within a group, and spans of `span_length` tokens."""

    batch: int
    blocks_per_group: int
    groups: int
    spans: int
    span_length: int
    state: int
    j: int
    w: int

    @property
    def blocks(self) -> int:
        return self.groups * self.blocks_per_group

    @property
    def programs(self) -> int:
        return self.batch * self.spans * self.blocks

    def sizes(self, length: int, dim: int) -> dict[str, Any]:
        """The kernel arguments that every kernel over spans takes."""
        padded = 1 << (self.state - 1).bit_length()
        sizes = (length, dim, dim // self.groups)
        return {
            "sizes": (*sizes, self.blocks_per_group, self.blocks, self.spans, self.span_length),
            "unit": 1,
            "STATE": self.state,
            "N": padded,
            "J": self.j,
            "W": self.w,
            "num_warps": max(1, self.j * padded * self.w // (32 * STATES_PER_THREAD)),
        }


def tile(u: Tensor, B: Tensor, candidates: tuple[tuple[int, int], ...]) -> Tiling:
    """The first block (j, w) of `candidates`, largest first, with which spans can fill the device; else the last."""
    batch, dim, length = u.shape
    groups, state = B.shape[1:3]
    chunks = -(-length // CHUNK)
    most_spans = max(1, chunks // CHUNKS_PER_SPAN)
    wanted = programs_to_fill(u.device)
    for j, w in candidates:
        blocks_per_group = -(-(dim // groups) // (j * w))
        programs = batch * groups * blocks_per_group
        if programs * most_spans >= wanted:
            break
    span_chunks = -(-chunks // min(most_spans, -(-wanted // programs)))
    return Tiling(batch, blocks_per_group, groups, -(-chunks // span_chunks), span_chunks * CHUNK, state, j, w)


def forward(inputs: ScanTensors, dt_softplus: bool, grid: Grid, save_states: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Output (batch, dim, length), last state (batch, dim, state), states saved (batch, chunks, state, dim) or (0,)."""
    from medssm.kernels.selective_scan._triton_forward import scan_forward

    u, _, A, *_ = inputs
    batch, dim, length = u.shape
    state = A.shape[1]
    tiling = tile(u, inputs.B, FORWARD_BLOCKS)
    visits = None if grid.is_identity else grid.visits(u.device)
    entering = None
    if tiling.spans > 1:
        entering = _entering_states(tiling, u, None, inputs.B, inputs, dt_softplus, visits, None, reverse=False)
    y = empty_tokens(u)
    last_state = A.new_empty(batch, dim, state)
    checkpoints = A.new_empty((batch, -(-length // CHUNK), state, dim) if save_states else 0)
    scan_forward[(tiling.programs,)](
        y,
        last_state,
        checkpoints if save_states else None,
        entering,
        _arguments(inputs, visits),
        *inputs.A.stride(),
        **tiling.sizes(length, dim),
        UNROLL=FORWARD_UNROLL,
        CHUNK=CHUNK,
        SOFTPLUS=dt_softplus,
        enable_fp_fusion=True,
    )
    return y, last_state, checkpoints


def backward(
    grad_y: Tensor,
    grad_last_state: Tensor | None,
    inputs: ScanTensors,
    dt_softplus: bool,
    grid: Grid,
    checkpoints: Tensor,
) -> ScanTensors:
    """Gradients like the inputs, by those of the output (batch, dim, length) and last state (batch, dim, state)."""
    from medssm.kernels.selective_scan._triton_backward import scan_backward

    u, dt, A, B, C, D, z, dt_bias = inputs
    grad_last_state = None if grad_last_state is None else grad_last_state.contiguous()
    dim, length = u.shape[1:]
    tiling = tile(u, B, BACKWARD_BLOCKS)
    visits = None if grid.is_identity else grid.visits(u.device)
    entering = None
    if tiling.spans > 1:
        entering = _entering_states(tiling, grad_y, z, C, inputs, dt_softplus, visits, grad_last_state, reverse=True)
    du, ddt, dz = (None if x is None else empty_tokens(x) for x in (u, dt, z))
    dA = A.new_empty(tiling.batch * tiling.spans, *A.shape)
    dD_ddt_bias = A.new_empty(tiling.batch * tiling.spans, 2, dim)
    dB, dC = A.new_empty(2, tiling.batch, tiling.groups, tiling.blocks_per_group, length, A.shape[1])
    sizes = tiling.sizes(length, dim)
    group_states = A.new_empty(tiling.programs, CHUNK // BACKWARD_UNROLL, sizes["J"] * sizes["N"] * sizes["W"])
    outputs = (du, ddt, dz, dA, dD_ddt_bias, dB, dC, group_states)
    given = (entering, grad_last_state, grad_y, grad_y.stride(), checkpoints)
    settings = {"UNROLL": BACKWARD_UNROLL, "CHUNK": CHUNK, "SOFTPLUS": dt_softplus, "enable_fp_fusion": True}
    arguments = (_arguments(inputs, visits), *A.stride())
    scan_backward[(tiling.programs,)](*outputs, *given, *arguments, **sizes, **settings)
    assert du is not None
    assert ddt is not None
    return ScanTensors(
        du,
        ddt,
        dA.sum(0),
        _sum_blocks(dB, B),
        _sum_blocks(dC, C),
        None if D is None else dD_ddt_bias[:, 0].sum(0),
        dz,
        None if dt_bias is None else dD_ddt_bias[:, 1].sum(0),
    )


def _arguments(inputs: ScanTensors, visits: Tensor | None) -> tuple[Any, ...]:
    """The inputs as both kernels take them: strides after each tensor but A, and contiguous vectors."""
    u, dt, A, B, C, D, z, dt_bias = inputs
    D, dt_bias = (None if x is None else x.contiguous() for x in (D, dt_bias))
    tokens = (u, u.stride(), dt, dt.stride(), A, B, B.stride(), C, C.stride())
    return *tokens, D, z, None if z is None else z.stride(), dt_bias, visits


def _entering_states(
    tiling: Tiling,
    drive: Tensor,
    z: Tensor | None,
    vector: Tensor,
    inputs: ScanTensors,
    dt_softplus: bool,
    visits: Tensor | None,
    initial: Tensor | None,
    reverse: bool,
) -> Tensor:
    """(batch, spans, state, dim): the state that enters each span, or in reverse the gradient of the one leaving it."""
    from medssm.kernels.selective_scan._triton_tiles import carry_states, span_states

    dt, A, dt_bias = inputs.dt, inputs.A, inputs.dt_bias
    batch, dim, length = drive.shape
    states = A.new_empty(batch, tiling.spans, A.shape[1], dim)
    totals = A.new_empty(batch, tiling.spans, dim)
    span_states[(tiling.programs,)](
        states,
        totals,
        drive,
        drive.stride(),
        z,
        None if z is None else z.stride(),
        dt,
        dt.stride(),
        vector,
        vector.stride(),
        A,
        *A.stride(),
        None if dt_bias is None else dt_bias.contiguous(),
        visits,
        **tiling.sizes(length, dim),
        UNROLL=FORWARD_UNROLL,
        SOFTPLUS=dt_softplus,
        REVERSE=reverse,
        enable_fp_fusion=True,
    )
    blocks = -(-A.numel() // 64)
    carry_states[(batch * blocks,)](
        states,
        totals,
        initial,
        A,
        *A.stride(),
        dim,
        tiling.spans,
        blocks,
        STATE=A.shape[1],
        BLOCK=64,
        UNROLL=8,
        REVERSE=reverse,
        num_warps=2,
        enable_fp_fusion=True,
    )
    return states


def _sum_blocks(partial: Tensor, like: Tensor) -> Tensor:
    """(batch, groups, blocks, length, state) summed over its blocks, as (batch, groups, state, length)."""
    total = empty_states(like)
    total.copy_(partial.sum(2).transpose(2, 3))
    return total
