"""What only the native backend has: instruction sets, threads, long sequences, and being absent."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from medssm.kernels import BackendError, native, selective_scan, wavefront_scan

pytestmark = pytest.mark.skipif(native.unavailable() is not None, reason=str(native.unavailable()))

ERRORS = Path(__file__).with_name("native_errors.py")


def run_python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Another process, with these additions to the environment."""
    settings = {**os.environ, **environment}
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env=settings, check=False)


@pytest.mark.parametrize("isa", ["avx512", "avx2", "neon", "baseline"])
def test_every_instruction_set_computes_the_same(isa: str) -> None:
    result = run_python(str(ERRORS), MEDSSM_ISA=isa)
    if f"MEDSSM_ISA={isa}: not an instruction set that was built and runs here" in result.stderr:
        pytest.skip(f"{isa} was not built or does not run here")
    report = json.loads(result.stdout)
    assert report["isa"] == isa
    assert len(report["errors"]) == 43
    assert max(report["errors"].values()) < 1e-5, report


def test_an_unknown_instruction_set_is_named() -> None:
    result = run_python(str(ERRORS), MEDSSM_ISA="avx1024")
    assert result.returncode != 0
    assert "MEDSSM_ISA=avx1024: not an instruction set that was built and runs here; unset it" in result.stderr


def test_arguments_of_another_size_are_refused_before_they_are_read() -> None:
    message = "kernel pack_matrix takes 48 bytes of arguments, this medssm packs 40; it was built from other sources"
    with pytest.raises(BackendError, match=message):
        native.kernel("pack_matrix")(bytes(40))


def test_a_kernel_that_the_library_lacks_is_named() -> None:
    with pytest.raises(BackendError, match=r"has no kernel conv4d of this medssm; .* reinstall medssm"):
        native.kernel("conv4d")


def test_threads_change_no_bit() -> None:
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            torch.manual_seed(0)
            u, dt, B, C = (torch.randn(shape) for shape in ((3, 70, 150), (3, 70, 150), (3, 1, 4, 150), (3, 1, 4, 150)))
            inputs = [x.requires_grad_() for x in (u, dt, -torch.rand(70, 4), B, C)]
            y = selective_scan(*inputs, dt_softplus=True, backend="native")
            results.append([y, *torch.autograd.grad(y.square().sum(), inputs)])
    finally:
        torch.set_num_threads(before)
    for others in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], others, strict=True))


def test_threads_change_no_bit_of_a_grid() -> None:
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            torch.manual_seed(0)
            x, dt_top, dt_left = (torch.randn(2, 70, 10 * 12, requires_grad=True) for _ in range(3))
            B_top, B_left, C = (torch.randn(2, 4, 10 * 12, requires_grad=True) for _ in range(3))
            A_top, A_left = (torch.rand(70, 4).neg().requires_grad_() for _ in range(2))
            inputs = [x, dt_top, dt_left, A_top, A_left, B_top, B_left, C]
            y = wavefront_scan(*inputs, dt_softplus=True, shape=(10, 12), backend="native")
            results.append([y, *torch.autograd.grad(y.square().sum(), inputs)])
    finally:
        torch.set_num_threads(before)
    for others in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], others, strict=True))


def test_denormals_outside_the_kernels_are_left_alone() -> None:
    ones = torch.ones(1, 4, 8)
    selective_scan(ones, ones, -torch.ones(4, 2), ones[:, None, :2], ones[:, None, :2], backend="native")
    assert (torch.tensor(1e-30) * torch.tensor(1e-10)).item() > 0


LONG = """
import torch
from medssm.kernels import selective_scan
from medssm.tasks.segmentation.memory import process_memory

def peak():
    return int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) * 1024

def make(first, last):
    parts = [x[..., first:last] for x in (u, dt, B, C)]
    return [x.detach().clone(memory_format=torch.preserve_format).requires_grad_() for x in parts]

def scan(u, dt, B, C):
    y = selective_scan(u, dt, A, B, C, dt_softplus=True, backend="native")
    y.backward(torch.ones_like(y))
    return y.detach(), u.grad

torch.manual_seed(0)
length, dim, state = 262144, 32, 16
u, dt = (torch.randn(1, length, dim).transpose(1, 2) for _ in range(2))
B, C = (torch.randn(1, length, 1, state).permute(0, 2, 3, 1) for _ in range(2))
A = -torch.rand(dim, state) - 0.5
scan(*make(0, 1000))
inputs = make(0, length)
before = process_memory()
y, du = scan(*inputs)
grown = peak() - before
y_end, _ = scan(*make(length - 3000, length))
_, du_start = scan(*make(0, 3000))
end, start = (y[..., -1000:] - y_end[..., -1000:]).abs().max(), (du[..., :1000] - du_start[..., :1000]).abs().max()
print(grown, 4 * length * dim * state, end.item(), start.item())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="measures memory as Linux reports it")
def test_a_quarter_of_a_million_tokens_fit_and_forget_what_is_far_away() -> None:
    """A token two thousand steps away has no influence, so both ends are those of short sequences."""
    result = run_python("-c", LONG)
    grown, states, end, start = map(float, result.stdout.split())
    assert grown < 0.75 * states  # gradients and outputs, 1/16 of the states each, and one state in 64
    assert end < 1e-5
    assert start < 1e-5


WITHOUT = """
import warnings
from pathlib import Path
import torch
from medssm.kernels import causal_conv1d, selective_scan
from medssm.kernels.native import library
library.LIBRARY = Path("absent.so")
x = torch.ones(1, 2, 4)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("default")
    for _ in range(3):
        causal_conv1d(x, torch.ones(2, 2))
        y = selective_scan(x, x, -torch.ones(2, 1), x[:, None, :1], x[:, None, :1])
print([str(warning.message) for warning in caught], y[0, 0].tolist())
"""


def test_without_the_library_the_reference_runs_and_says_so_once() -> None:
    """h = e^-1 h + 1 on ones: 1, 1.368, 1.503, 1.553."""
    result = run_python("-c", WITHOUT)
    assert result.stdout.count("medssm runs on its slow reference kernels") == 1, result.stdout + result.stderr
    assert "install a C++ compiler (g++ or clang++) and reinstall medssm" in result.stdout
    values = [float(value) for value in result.stdout.rsplit("[", 1)[1].rstrip("]\n").split(",")]
    assert values == pytest.approx([1.0, 1.36788, 1.50321, 1.55300], abs=1e-4)
