"""What only the Triton backend does: cutting the sequence into spans, and compiling for a GPU."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from torch import Tensor

from medssm.kernels.grid import Grid
from medssm.kernels.selective_scan import _reference, _triton
from medssm.kernels.selective_scan._tensors import ScanTensors

CPU = torch.device("cpu")
NEEDS_INTERPRETER = pytest.mark.skipif(_triton.unavailable(CPU) is not None, reason=str(_triton.unavailable(CPU)))


def make_inputs(length: int, dim: int, state: int, dtype: torch.dtype) -> ScanTensors:
    """With two groups."""
    generator = torch.Generator().manual_seed(1)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    u, dt, z = (normal(1, length, dim).transpose(1, 2).to(dtype) for _ in range(3))
    B, C = (normal(1, 2, state, length).to(dtype) for _ in range(2))
    A = -torch.rand((dim, state), generator=generator) * 0.1
    return ScanTensors(u, dt, A, B, C, normal(dim), z, normal(dim) - 3)


@NEEDS_INTERPRETER
@pytest.mark.parametrize(
    ("chunks", "dtype"), [(1, torch.float32), pytest.param(2, torch.float16, marks=pytest.mark.slow)]
)
def test_spans_give_what_one_pass_gives(monkeypatch: pytest.MonkeyPatch, chunks: int, dtype: torch.dtype) -> None:
    """Steps are small, so that most of a state survives from span to span."""
    monkeypatch.setattr(_triton, "programs_to_fill", lambda device: 10**6)
    monkeypatch.setattr(_triton, "CHUNKS_PER_SPAN", chunks)
    inputs = make_inputs(3 * 53, 6, 3, dtype)
    grid = Grid((3, 53), (1, 0), (True, False))
    exact = ScanTensors(*(x.double() for x in inputs if x is not None))
    y, last, checkpoints = _triton.forward(inputs, True, grid, True)
    expected = _reference.forward(exact, True, grid, True)
    grad_y, grad_last = torch.randn(y.shape).to(dtype), torch.randn(last.shape)
    gradients = _triton.backward(grad_y, grad_last, inputs, True, grid, checkpoints)
    expected += _reference.backward(grad_y.double(), grad_last.double(), exact, True, grid, expected[2])
    tolerance = 2e-5 if dtype == torch.float32 else 2e-3
    for actual, wanted in zip((y, last, checkpoints, *gradients), expected, strict=True):
        assert actual is not None
        assert wanted is not None
        assert ((actual.double() - wanted).abs().max() / wanted.abs().max()).item() <= tolerance


@pytest.mark.parametrize(
    ("batch", "dim", "length", "spans", "width"),
    [(1, 768, 216, 1, 8), (64, 768, 216, 1, 32), (1, 768, 784, 3, 8), (1, 192, 32768, 86, 16)],
)
def test_work_is_cut_to_fill_the_device(
    monkeypatch: pytest.MonkeyPatch, batch: int, dim: int, length: int, spans: int, width: int
) -> None:
    """Short sequences in one pass, long ones in as many spans as 132 multiprocessors want, wide blocks if enough."""
    monkeypatch.setattr(_triton, "programs_to_fill", lambda device: 8 * 132)
    u, B = torch.empty(batch, dim, length, device="meta"), torch.empty(batch, 1, 16, length, device="meta")
    tiling = _triton.tile(u, B, _triton.FORWARD_BLOCKS)
    assert (tiling.spans, tiling.w) == (spans, width)
    assert tiling.spans * tiling.span_length >= length > (tiling.spans - 1) * tiling.span_length


@pytest.mark.skipif(find_spec("triton") is None, reason="triton is not installed; torch's CUDA wheels bring it along")
@pytest.mark.parametrize(
    ("names", "count"),
    [
        (["scan_backward", "sum_taps", "conv_forward", "wavefront_backward narrow"], 4),
        pytest.param([], 15, marks=pytest.mark.slow, id="all"),
    ],
)
def test_kernels_compile_for_a_gpu_and_keep_their_states_in_registers(names: list[str], count: int) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    script = Path(__file__).with_name("compile_triton.py")
    run = subprocess.run([sys.executable, script, *names], env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    usage = json.loads(run.stdout.splitlines()[-1])
    assert len(usage) == count
    # A tile that slipped into local memory would take kilobytes; the widest kernel spills some 20 registers.
    assert max(kernel["stack"] for kernel in usage.values()) <= 128, usage
