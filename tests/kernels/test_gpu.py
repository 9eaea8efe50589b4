"""The kernels on a CUDA device, beside the float64 reference on the CPU: `pytest -m gpu` where there is one."""

import itertools

import pytest
import torch
from torch import Tensor

from medssm.kernels import causal_conv1d, nd_selective_scan, operators, state_fusion, state_scan, wavefront_scan

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")]

# Largest error, relative to the largest entry.
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 3e-2}
CUDA = torch.device("cuda")


@pytest.fixture(params=["triton", "mamba_ssm"])
def backend(request: pytest.FixtureRequest) -> str:
    if reason := operators()["selective_scan"].backend(request.param).unavailable(CUDA):
        pytest.skip(reason)
    return request.param


def run_scan(
    given: list[Tensor], shape: tuple[int, ...], axes: tuple[int, ...], reverse: bool, backend: str
) -> list[Tensor]:
    """y and the gradient of every input, float64 on the CPU."""
    inputs = [x.detach().requires_grad_() for x in given]
    visit = {"shape": shape, "axes": axes, "reverse": reverse, "backend": backend}
    y = nd_selective_scan(*inputs, dt_softplus=True, **visit)  # type: ignore[arg-type]
    weights = torch.sin(torch.arange(y.numel()).view(y.shape)).to(y)
    return [x.double().cpu() for x in (y.detach(), *torch.autograd.grad(y, inputs, weights))]


@pytest.mark.parametrize("dtype", list(TOLERANCE), ids=str)
@pytest.mark.parametrize(
    ("shape", "axes", "reverse"),
    [
        ((1,), (0,), False),
        ((4097,), (0,), True),
        *(((5, 6, 7), axes, r) for axes, r in itertools.product(itertools.permutations(range(3)), (False, True))),
    ],
    ids=str,
)
def test_scans_agree_with_the_equation(
    backend: str, shape: tuple[int, ...], axes: tuple[int, ...], reverse: bool, dtype: torch.dtype
) -> None:
    torch.manual_seed(0)
    length, dim = torch.Size(shape).numel(), 48
    u, dt, z = (torch.randn(2, length, dim).transpose(1, 2).to(dtype) for _ in range(3))
    B, C = (torch.randn(2, 2, 16, length).to(dtype) for _ in range(2))
    given = [u, dt, -4 * torch.rand(dim, 16), B, C, torch.randn(dim), z, torch.randn(dim) - 1]
    expected = run_scan([x.double() for x in given], shape, axes, reverse, "reference")
    actual = run_scan([x.to(CUDA) for x in given], shape, axes, reverse, backend)
    for got, wanted in zip(actual, expected, strict=True):
        assert ((got - wanted).abs().max() / wanted.abs().max()).item() <= TOLERANCE[dtype]


def test_the_triton_scan_twice_is_the_same_bit_for_bit() -> None:
    torch.manual_seed(0)
    u, dt = (torch.randn(2, 64, 1000, device=CUDA) for _ in range(2))
    B, C = (torch.randn(2, 1, 16, 1000, device=CUDA) for _ in range(2))
    given = [u, dt, -torch.rand(64, 16, device=CUDA), B, C]
    first, second = (run_scan(given, (1000,), (0,), False, "triton") for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("name", ["triton", "causal_conv1d"])
def test_convolutions_agree_with_the_reference(name: str) -> None:
    if reason := operators()["causal_conv1d"].backend(name).unavailable(CUDA):
        pytest.skip(reason)
    torch.manual_seed(0)
    x, weight, bias = torch.randn(2, 48, 210), torch.randn(48, 4), torch.randn(48)
    for axes in itertools.permutations(range(3)):
        visit = {"activation": "silu", "shape": (5, 6, 7), "axes": axes, "reverse": True}
        expected = causal_conv1d(x.double(), weight.double(), bias.double(), backend="reference", **visit)  # type: ignore[arg-type]
        actual = causal_conv1d(x.to(CUDA), weight.to(CUDA), bias.to(CUDA), backend=name, **visit)  # type: ignore[arg-type]
        assert (actual.double().cpu() - expected).abs().max().item() <= 1e-4


@pytest.mark.parametrize("dtype", list(TOLERANCE), ids=str)
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("shape", [(1, 1), (1, 37), (37, 1), (14, 14), (19, 70), (70, 19)], ids=str)
def test_scans_of_a_grid_agree_with_the_equation(shape: tuple[int, int], reverse: bool, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    length, dim = shape[0] * shape[1], 50
    x, dt_top, dt_left = (torch.randn(2, length, dim).transpose(1, 2).to(dtype) for _ in range(3))
    B_top, B_left, C = (torch.randn(2, length, 16).transpose(1, 2).to(dtype) for _ in range(3))
    A_top, A_left = (-4 * torch.rand(dim, 16) for _ in range(2))
    given = [x, dt_top, dt_left, A_top, A_left, B_top, B_left, C, *(torch.randn(dim) - 1 for _ in range(3))]

    def run(tensors: list[Tensor], backend: str) -> list[Tensor]:
        inputs = [t.detach().requires_grad_() for t in tensors]
        settings = {"shape": shape, "reverse": reverse, "backend": backend}
        y = wavefront_scan(*inputs, dt_softplus=True, **settings)  # type: ignore[arg-type]
        weights = torch.sin(torch.arange(y.numel()).view(y.shape)).to(y)
        gradients = torch.autograd.grad(y, inputs, weights, materialize_grads=True)
        return [t.double().cpu() for t in (y.detach(), *gradients)]

    expected = run([t.double() for t in given], "reference")
    first, second = (run([t.to(CUDA) for t in given], "triton") for _ in range(2))
    for got, again, wanted in zip(first, second, expected, strict=True):
        assert torch.equal(got, again)
        scale = wanted.abs().max().clamp(min=1e-6)
        assert ((got - wanted).abs().max() / scale).item() <= TOLERANCE[dtype]


@pytest.mark.parametrize("dtype", list(TOLERANCE), ids=str)
@pytest.mark.parametrize(("shape", "state"), [((1, 1), 1), ((7, 7), 3), ((14, 14), 1), ((56, 56), 1)], ids=str)
def test_states_and_their_fusion_agree_with_the_equations(
    shape: tuple[int, int], state: int, dtype: torch.dtype
) -> None:
    torch.manual_seed(0)
    length, dim = shape[0] * shape[1], 50
    u, dt, B = (torch.randn(2, length, width).transpose(1, 2).to(dtype) for width in (dim, dim, state))
    h = torch.randn(2, length, dim).transpose(1, 2).to(dtype)
    scanned = [u, dt, -4 * torch.rand(dim, state), B, torch.randn(dim) - 1]
    fused = [h, torch.randn(3, dim, 3, 3), torch.randn(3)]

    def gradients(output: Tensor, inputs: list[Tensor]) -> list[Tensor]:
        weights = torch.sin(torch.arange(output.numel()).view(output.shape)).to(output)
        return [t.double().cpu() for t in (output.detach(), *torch.autograd.grad(output, inputs, weights))]

    def run(device: torch.device, backend: str) -> list[Tensor]:
        exact = backend == "reference"
        first, second = (
            [(t.double() if exact else t).to(device).requires_grad_() for t in tensors] for tensors in (scanned, fused)
        )
        path = gradients(state_scan(*first, dt_softplus=True, backend=backend), first)
        return path + gradients(state_fusion(*second, shape=shape, backend=backend), second)

    expected = run(torch.device("cpu"), "reference")
    for got, again, wanted in zip(run(CUDA, "triton"), run(CUDA, "triton"), expected, strict=True):
        assert torch.equal(got, again)
        scale = wanted.abs().max().clamp(min=1e-6)
        assert ((got - wanted).abs().max() / scale).item() <= TOLERANCE[dtype]
