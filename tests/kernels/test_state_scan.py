"""The scan of states over every backend: forward and all gradients against autograd of the float64 equation."""

from typing import Any

import pytest
import torch
from torch import Tensor

from medssm.kernels import ShapeError, native, operators, selective_scan, state_scan
from medssm.kernels.state_scan._reference import states_equation
from medssm.kernels.state_scan._tensors import StateTensors

OPERATOR = operators()["state_scan"]
CPU = torch.device("cpu")
# Largest error, relative to the largest entry of what is compared.
TOLERANCE = {torch.float64: 1e-10, torch.float32: 2e-5, torch.bfloat16: 3e-2}


@pytest.fixture(params=list(OPERATOR.modules))
def backend(request: pytest.FixtureRequest) -> str:
    if reason := OPERATOR.backend(request.param).unavailable(CPU):
        pytest.skip(reason)
    return request.param


def make_inputs(
    batch: int = 1,
    dim: int = 20,
    state: int = 1,
    length: int = 19,
    bias: bool = True,
    dtype: torch.dtype = torch.float32,
) -> dict[str, Tensor | None]:
    """Arguments by name, rounded to `dtype` already, so that the float64 equation starts from the same numbers."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    return {
        "u": normal(batch, length, dim).transpose(1, 2).to(dtype),
        "dt": (0.5 * normal(batch, length, dim)).transpose(1, 2).to(dtype),
        "A": -torch.rand((dim, state), generator=generator) * 4 - 0.1,
        "B": normal(batch, length, state).transpose(1, 2).to(dtype),
        "dt_bias": normal(dim) - 1 if bias else None,
    }


def differentiable(inputs: dict[str, Tensor | None], dtype: torch.dtype | None = None) -> dict[str, Any]:
    return {k: None if v is None else v.detach().to(dtype or v.dtype).requires_grad_() for k, v in inputs.items()}


def gradients(h: Tensor, inputs: dict[str, Any], weight: Tensor) -> dict[str, Tensor]:
    present = {k: v for k, v in inputs.items() if v is not None}
    return dict(zip(present, torch.autograd.grad(h, list(present.values()), weight.to(h.dtype)), strict=True))


def assert_close(actual: Tensor, expected: Tensor, tolerance: float, name: str) -> None:
    assert actual.shape == expected.shape, name
    error = ((actual.double() - expected).abs().max() / expected.abs().max().clamp(min=1e-6)).item()
    assert error <= tolerance, f"{name}: relative error {error:.2e}"


def check_against_equation(inputs: dict[str, Tensor | None], backend: str, dt_softplus: bool = True) -> None:
    """States and every gradient of a backend beside autograd through the equation in float64."""
    exact, given = differentiable(inputs, torch.float64), differentiable(inputs)
    tolerance = TOLERANCE[given["u"].dtype]
    h_exact = states_equation(StateTensors(**exact), dt_softplus)
    weight = torch.randn_like(h_exact).to(given["u"].dtype)
    h = state_scan(**given, dt_softplus=dt_softplus, backend=backend)
    assert h.dtype == given["u"].dtype
    assert_close(h, h_exact, tolerance, "h")
    expected = gradients(h_exact, exact, weight)
    for name, gradient in gradients(h, given, weight).items():
        assert_close(gradient, expected[name], tolerance, f"gradient of {name}")


@pytest.mark.few_on_triton("1-torch.float32", "3-torch.float32", "16-torch.bfloat16")
@pytest.mark.parametrize("dtype", list(TOLERANCE), ids=str)
@pytest.mark.parametrize("state", [1, 3, 16])
def test_states_agree_with_the_equation(backend: str, dtype: torch.dtype, state: int) -> None:
    if dtype == torch.float64 and backend != "reference":
        pytest.skip("only the reference computes in float64")
    inputs = make_inputs(state=state, dtype=dtype, dim=20 // state + 1, length=19 if state == 1 else 3)
    if dtype == torch.float64:
        inputs = {k: None if v is None else v.double() for k, v in inputs.items()}
    check_against_equation(inputs, backend)


@pytest.mark.few_on_triton("{'length': 1}", "'state': 3}", "{'length': 66, 'dim': 3}", "'state': 2}")
@pytest.mark.parametrize(
    "sizes",
    [
        {"length": 1},
        {"length": 2, "batch": 1, "dim": 1},
        {"length": 1, "batch": 2, "dim": 17, "state": 3},
        {"length": 64, "dim": 16},
        {"length": 66, "dim": 3},
        {"length": 67, "batch": 2, "dim": 37},
        {"length": 13, "bias": False, "state": 2},
        {"length": 197, "batch": 3, "dim": 150},
        {"length": 130, "batch": 2, "dim": 85, "state": 16, "bias": False},
    ],
    ids=str,
)
def test_odd_sizes_agree_with_the_equation(backend: str, sizes: dict[str, int]) -> None:
    if backend == "triton" and sizes["length"] * sizes.get("dim", 1) > 1500:
        pytest.skip("Triton's interpreter takes half a minute; smaller sizes reach the same code")
    check_against_equation(make_inputs(**sizes), backend)  # type: ignore[arg-type]


def test_steps_can_be_taken_as_they_are(backend: str) -> None:
    inputs = make_inputs(bias=False)
    check_against_equation(inputs | {"dt": inputs["dt"].abs()}, backend, dt_softplus=False)  # type: ignore[union-attr]


def test_states_are_those_that_a_selective_scan_reads(backend: str) -> None:
    """A second derivation: with C = 1 and one state, the scan's output is the state."""
    inputs = make_inputs(length=70)
    read = selective_scan(**inputs, C=torch.ones(1, 1, 70), dt_softplus=True, backend="reference")  # type: ignore[arg-type]
    h = state_scan(**inputs, dt_softplus=True, backend=backend)  # type: ignore[arg-type]
    torch.testing.assert_close(h[:, :, 0], read, rtol=1e-5, atol=1e-5)


@pytest.mark.few_on_triton("torch.bfloat16")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_memory_layout_of_the_inputs_does_not_matter(backend: str, dtype: torch.dtype) -> None:
    inputs = make_inputs(batch=2, length=5, dim=9, state=2, dtype=dtype)
    contiguous = {k: None if v is None else v.contiguous() for k, v in inputs.items()}
    wide = {
        k: None if v is None else torch.stack([v, torch.full_like(v, float("nan"))], -1)[..., 0]
        for k, v in inputs.items()
    }
    expected = state_scan(**inputs, dt_softplus=True, backend=backend)  # type: ignore[arg-type]
    for other in (contiguous, wide):
        torch.testing.assert_close(state_scan(**other, dt_softplus=True, backend=backend), expected)  # type: ignore[arg-type]
        check_against_equation(other, backend)


def test_gradients_of_any_memory_layout_are_taken(backend: str) -> None:
    inputs = differentiable(make_inputs(length=11, state=2))
    h = state_scan(**inputs, dt_softplus=True, backend=backend)
    weight = torch.randn(h.shape)
    expected = gradients(h, inputs, torch.empty_like(h).copy_(weight))
    assert weight.stride() != h.stride()
    h = state_scan(**inputs, dt_softplus=True, backend=backend)
    for name, gradient in gradients(h, inputs, weight).items():
        torch.testing.assert_close(gradient, expected[name])


@pytest.mark.skipif(native.unavailable() is not None, reason=str(native.unavailable()))
def test_threads_change_no_bit() -> None:
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            inputs = differentiable(make_inputs(batch=2, length=150, dim=150))
            h = state_scan(**inputs, dt_softplus=True, backend="native")
            results.append([h, *gradients(h, inputs, torch.ones_like(h)).values()])
    finally:
        torch.set_num_threads(before)
    for others in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], others, strict=True))


def test_large_steps_stay_finite(backend: str) -> None:
    inputs = make_inputs(dim=8)
    check_against_equation(inputs | {"dt": inputs["dt"] * 100}, backend)  # type: ignore[operator]


@pytest.mark.few_on_triton  # the interpreter runs one program after the other
def test_runs_are_bitwise_equal(backend: str) -> None:
    results = []
    length = 10 if backend == "triton" else 200  # interpreted
    for _ in range(2):
        inputs = differentiable(make_inputs(length=length, dim=40))
        h = state_scan(**inputs, dt_softplus=True, backend=backend)
        results.append([h, *gradients(h, inputs, torch.ones_like(h)).values()])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


@pytest.mark.few_on_triton("True")
@pytest.mark.parametrize("bias", [True, False])
def test_operator_is_registered_properly(backend: str, bias: bool) -> None:
    inputs = differentiable(make_inputs(batch=2, length=2, dim=8, state=2, bias=bias))
    torch.library.opcheck(
        torch.ops.medssm.state_scan.default,
        (*inputs.values(), True, backend),
        test_utils=("test_schema", "test_autograd_registration", "test_faketensor", "test_aot_dispatch_static"),
    )


@pytest.mark.few_on_triton
def test_compiled_function_gives_the_same(backend: str) -> None:
    def function(**inputs: Any) -> Tensor:
        return state_scan(**inputs, dt_softplus=True, backend=backend).square().sum()

    plain, compiled = (differentiable(make_inputs(length=5, dim=8)) for _ in range(2))
    function(**plain).backward()
    torch.compile(function, backend="aot_eager", fullgraph=True)(**compiled).backward()
    for name, x in plain.items():
        torch.testing.assert_close(compiled[name].grad, x.grad)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"u": torch.zeros(1, 20)}, r"u has shape \(1, 20\); it must be \(batch, dim, length\)"),
        ({"dt": torch.zeros(1, 20, 18)}, r"dt has shape \(1, 20, 18\)"),
        ({"A": torch.zeros(21, 1)}, r"A has shape \(21, 1\); it must be \(20, state\)"),
        ({"B": torch.zeros(1, 2, 19)}, r"B has shape \(1, 2, 19\); with u \(1, 20, 19\) it must be \(1, 1, 19\)"),
        ({"dt_bias": torch.zeros(1)}, r"dt_bias has shape \(1,\)"),
        ({"B": torch.zeros(1, 1, 19, dtype=torch.bfloat16)}, "B is torch.bfloat16 but u is torch.float32"),
    ],
)
def test_wrong_arguments_are_named(change: dict[str, Tensor], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        state_scan(**make_inputs() | change)  # type: ignore[arg-type]
