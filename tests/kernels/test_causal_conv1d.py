"""The causal convolution over every backend, against torch's own conv1d in float64."""

import itertools

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from medssm.kernels import ShapeError, causal_conv1d, operators
from medssm.kernels.grid import make_grid

OPERATOR = operators()["causal_conv1d"]
CPU = torch.device("cpu")
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5, torch.bfloat16: 3e-2}


@pytest.fixture(params=list(OPERATOR.modules))
def backend(request: pytest.FixtureRequest) -> str:
    if reason := OPERATOR.backend(request.param).unavailable(CPU):
        pytest.skip(reason)
    return request.param


def make_inputs(
    batch: int = 2,
    dim: int = 20,
    length: int = 45,
    width: int = 4,
    bias: bool = True,
    dtype: torch.dtype = torch.float32,
) -> list[Tensor | None]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn((batch, length, dim), generator=generator).transpose(1, 2).to(dtype)
    parameters = torch.float64 if dtype == torch.float64 else torch.float32
    weight = torch.randn((dim, width), generator=generator).to(parameters)
    return [x, weight, torch.randn(dim, generator=generator).to(parameters) if bias else None]


def expected_output(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    silu: bool,
    shape: tuple[int, ...],
    axes: tuple[int, ...],
    reverse: bool,
) -> Tensor:
    """The same by torch's grouped conv1d on tokens that were moved into their order and are put back after it."""
    visits = make_grid(x.shape[2], shape, axes, reverse).visits(CPU).long()
    dim, width = weight.shape
    y = F.conv1d(x[..., visits], weight[:, None], bias, padding=width - 1, groups=dim)[..., : x.shape[2]]
    y = F.silu(y) if silu else y
    return y[..., torch.argsort(visits)]


def check(
    backend: str,
    inputs: list[Tensor | None],
    silu: bool,
    shape: tuple[int, ...],
    axes: tuple[int, ...],
    reverse: bool = False,
) -> None:
    x = inputs[0]
    assert x is not None
    exact, given = (
        [None if t is None else t.detach().to(d or t.dtype).requires_grad_() for t in inputs]
        for d in (torch.float64, None)
    )
    y_exact = expected_output(*exact, silu, shape, axes, reverse)  # type: ignore[arg-type]
    y = causal_conv1d(
        *given, activation="silu" if silu else None, shape=shape, axes=axes, reverse=reverse, backend=backend
    )  # type: ignore[arg-type]
    assert y.dtype == x.dtype
    grad = torch.randn(y.shape).to(y.dtype)
    results = [y, *torch.autograd.grad(y, [t for t in given if t is not None], grad)]
    wanted = [y_exact, *torch.autograd.grad(y_exact, [t for t in exact if t is not None], grad.double())]
    for name, actual, expected in zip(("y", "x", "weight", "bias"), results, wanted, strict=False):
        error = ((actual.double() - expected).abs().max() / expected.abs().max()).item()
        assert error <= TOLERANCE[x.dtype], f"{name}: relative error {error:.2e}"


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("silu", [True, False])
def test_line_agrees_with_conv1d(backend: str, dtype: torch.dtype, silu: bool) -> None:
    if dtype == torch.float64 and backend != "reference":
        pytest.skip("only the reference computes in float64")
    check(backend, make_inputs(dtype=dtype), silu, (45,), (0,))


@pytest.mark.parametrize(
    "sizes",
    [
        {"length": 1},
        {"length": 2, "dim": 1},
        {"length": 3, "width": 3},
        {"length": 67, "dim": 33, "width": 2},
        {"bias": False},
    ],
    ids=str,
)
def test_odd_sizes_agree_with_conv1d(backend: str, sizes: dict[str, int]) -> None:
    inputs = make_inputs(**sizes)
    length = inputs[0].shape[2]  # type: ignore[union-attr]
    check(backend, inputs, True, (length,), (0,), reverse=True)


@pytest.mark.parametrize(
    ("axes", "reverse"), list(itertools.product(itertools.permutations(range(3)), (False, True))), ids=str
)
def test_every_order_agrees_with_conv1d(backend: str, axes: tuple[int, ...], reverse: bool) -> None:
    check(backend, make_inputs(length=30, dim=8), True, (2, 3, 5), axes, reverse)


def test_memory_layout_of_the_input_does_not_matter(backend: str) -> None:
    x, weight, bias = make_inputs()
    assert x is not None
    assert weight is not None
    expected = causal_conv1d(x, weight, bias, activation="silu", backend=backend)
    for other in (x.contiguous(), torch.stack([x, x * float("nan")], -1)[..., 0]):
        torch.testing.assert_close(causal_conv1d(other, weight, bias, activation="silu", backend=backend), expected)
    check(backend, [x.contiguous(), weight, bias], True, (45,), (0,))


@pytest.mark.few_on_triton
def test_operator_is_registered_properly(backend: str) -> None:
    inputs = [None if t is None else t.requires_grad_() for t in make_inputs(length=12, dim=8)]
    for shape, axes in (([12], [0]), ([3, 4], [1, 0])):
        torch.library.opcheck(
            torch.ops.medssm.causal_conv1d.default,
            (*inputs, True, shape, axes, [True] * len(shape), backend),
            test_utils=("test_schema", "test_autograd_registration", "test_faketensor", "test_aot_dispatch_static"),
        )


@pytest.mark.parametrize(
    ("weight", "bias", "message"),
    [
        (torch.zeros(7, 4), None, r"weight has shape \(7, 4\); it must be \(20, width\)"),
        (torch.zeros(20, 4), torch.zeros(3), r"bias has shape \(3,\); it must be \(20,\)"),
    ],
)
def test_wrong_arguments_are_named(weight: Tensor, bias: Tensor | None, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        causal_conv1d(make_inputs()[0], weight, bias)  # type: ignore[arg-type]
