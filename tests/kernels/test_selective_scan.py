"""The scan over every backend: forward and all gradients against autograd of the float64 equation."""

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from medssm.kernels import BackendError, ShapeError, nd_selective_scan, operators, selective_scan, use_backend
from medssm.kernels.grid import make_grid
from medssm.kernels.selective_scan._reference import scan_equation
from medssm.kernels.selective_scan._tensors import ScanTensors

OPERATOR = operators()["selective_scan"]
CPU = torch.device("cpu")
# Largest error, relative to the largest entry of what is compared.
TOLERANCE = {torch.float64: 1e-10, torch.float32: 2e-5, torch.bfloat16: 3e-2}
DTYPES = {"reference": (torch.float64, torch.float32, torch.bfloat16)}


@pytest.fixture(params=list(OPERATOR.modules))
def backend(request: pytest.FixtureRequest) -> str:
    if reason := OPERATOR.backend(request.param).unavailable(CPU):
        pytest.skip(reason)
    return request.param


def make_inputs(
    batch: int = 2,
    dim: int = 24,
    state: int = 16,
    length: int = 67,
    groups: int = 1,
    optional: bool = True,
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
) -> dict[str, Tensor | None]:
    """Arguments by name, rounded to `dtype` already, so that the float64 reference starts from the same numbers."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    inputs: dict[str, Tensor | None] = {
        "u": normal(batch, length, dim).transpose(1, 2).to(dtype),
        "dt": (0.5 * normal(batch, length, dim)).transpose(1, 2).to(dtype),
        "A": -torch.rand((dim, state), generator=generator) * 4 - 0.1,
        "B": normal(batch, length, groups, state).permute(0, 2, 3, 1).to(dtype),
        "C": normal(batch, length, groups, state).permute(0, 2, 3, 1).to(dtype),
        "D": normal(dim) if optional else None,
        "z": normal(batch, length, dim).transpose(1, 2).to(dtype) if optional else None,
        "dt_bias": normal(dim) - 1 if optional else None,
    }
    return inputs


def differentiable(inputs: dict[str, Tensor | None], dtype: torch.dtype | None = None) -> dict[str, Tensor | None]:
    return {k: None if v is None else v.detach().to(dtype or v.dtype).requires_grad_() for k, v in inputs.items()}


def gradients(outputs: list[Tensor], inputs: dict[str, Tensor | None], weights: list[Tensor]) -> dict[str, Tensor]:
    present = {k: v for k, v in inputs.items() if v is not None}
    loss = sum((o * w.to(o.dtype)).sum() for o, w in zip(outputs, weights, strict=True))
    return dict(zip(present, torch.autograd.grad(loss, list(present.values())), strict=True))


def assert_close(actual: Tensor, expected: Tensor, tolerance: float, name: str) -> None:
    assert actual.shape == expected.shape, name
    scale = expected.abs().max().clamp(min=1e-6)
    error = ((actual.double() - expected).abs().max() / scale).item()
    assert error <= tolerance, f"{name}: relative error {error:.2e}"


def check_against_equation(
    inputs: dict[str, Tensor | None], backend: str, shape: tuple[int, ...], axes: tuple[int, ...], reverse: Any
) -> None:
    """Forward, last state and every gradient of a backend beside autograd through the equation in float64."""
    u = inputs["u"]
    assert u is not None
    tolerance = TOLERANCE[u.dtype]
    exact = differentiable(inputs, torch.float64)
    grid = make_grid(u.shape[2], shape, axes, reverse)
    y_exact, last_exact, _ = scan_equation(ScanTensors(**exact), True, grid)  # type: ignore[arg-type]
    weights = [torch.randn_like(y_exact), torch.randn_like(last_exact)]
    if u.dtype == torch.bfloat16:
        weights = [w.bfloat16().double() for w in weights]
    given = differentiable(inputs)
    y, last = nd_selective_scan(
        **given,  # type: ignore[arg-type]
        dt_softplus=True,
        shape=shape,
        axes=axes,
        reverse=reverse,
        return_last_state=True,
        backend=backend,
    )
    assert y.dtype == u.dtype
    assert_close(y, y_exact, tolerance, "y")
    assert_close(last, last_exact, tolerance, "last state")
    expected = gradients([y_exact, last_exact], exact, weights)
    for name, gradient in gradients([y, last], given, weights).items():
        assert_close(gradient, expected[name], tolerance, f"gradient of {name}")


def orders(axes: int) -> list[tuple[tuple[int, ...], bool]]:
    return list(itertools.product(itertools.permutations(range(axes)), (False, True)))


@pytest.mark.few_on_triton("False-dtype2", "True-dtype1")
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("reverse", [False, True])
def test_line_agrees_with_the_equation(backend: str, dtype: torch.dtype, reverse: bool) -> None:
    if dtype == torch.float64 and backend != "reference":
        pytest.skip("only the reference computes in float64")
    inputs = make_inputs(dtype=dtype, batch=1 if backend == "triton" else 2)  # interpreted
    if dtype == torch.float64:
        inputs = {k: None if v is None else v.double() for k, v in inputs.items()}
    check_against_equation(inputs, backend, (67,), (0,), reverse)


@pytest.mark.few_on_triton("one", "two", "odd", "groups", "many-states", "required")
@pytest.mark.parametrize(
    "sizes",
    [
        pytest.param({"length": 1}, id="one"),
        pytest.param({"length": 2, "batch": 1, "dim": 1, "state": 1}, id="two"),
        pytest.param({"length": 64}, id="chunk"),
        pytest.param({"length": 65, "dim": 17, "batch": 1}, id="odd"),
        pytest.param({"length": 131, "batch": 1, "dim": 33, "state": 5}, id="chunks"),
        pytest.param({"length": 7, "dim": 48, "state": 8, "groups": 3}, id="groups"),
        pytest.param({"length": 9, "dim": 6, "state": 4, "groups": 6}, id="lone-channels"),
        pytest.param({"length": 13, "dim": 40, "state": 24, "groups": 2}, id="many-states"),
        pytest.param({"length": 19, "optional": False}, id="required"),
    ],
)
def test_odd_sizes_and_groups_agree_with_the_equation(backend: str, sizes: dict[str, int]) -> None:
    inputs = make_inputs(**sizes)
    length = inputs["u"].shape[2]  # type: ignore[union-attr]
    check_against_equation(inputs, backend, (length,), (0,), False)


@pytest.mark.few_on_triton("(0, 1, 2)-True", "(1, 2, 0)-False", "(2, 1, 0)-True")
@pytest.mark.parametrize(("axes", "reverse"), orders(3), ids=str)
def test_every_order_of_a_grid_agrees_with_the_equation(backend: str, axes: tuple[int, ...], reverse: bool) -> None:
    check_against_equation(make_inputs(batch=1, length=60, dim=8, state=4), backend, (3, 4, 5), axes, reverse)


@pytest.mark.parametrize(("axes", "reverse"), [((1, 0), (True, False)), ((0, 1), (False, True))])
def test_axes_can_be_walked_backwards_one_by_one(
    backend: str, axes: tuple[int, ...], reverse: tuple[bool, ...]
) -> None:
    check_against_equation(make_inputs(length=35, dim=8, state=4), backend, (5, 7), axes, reverse)


@pytest.mark.parametrize("axes", list(itertools.permutations(range(3))), ids=str)
@pytest.mark.parametrize("reverse", [False, True])
def test_an_order_equals_permuting_scanning_and_putting_back(axes: tuple[int, ...], reverse: bool) -> None:
    shape = (2, 3, 4)
    inputs = make_inputs(length=24, dim=4, state=3)

    def reorder(x: Tensor) -> Tensor:
        moved = x.unflatten(-1, shape).permute(*range(x.ndim - 1), *(x.ndim - 1 + a for a in axes)).flatten(-3)
        return moved.flip(-1) if reverse else moved

    def restore(y: Tensor) -> Tensor:
        y = (y.flip(-1) if reverse else y).unflatten(-1, [shape[a] for a in axes])
        return y.permute(0, 1, *(2 + axes.index(a) for a in range(3))).flatten(-3)

    moved = {k: reorder(v) if v is not None and v.ndim > 2 else v for k, v in inputs.items()}
    expected = restore(selective_scan(**moved, dt_softplus=True, backend="reference"))  # type: ignore[arg-type]
    actual = nd_selective_scan(**inputs, dt_softplus=True, shape=shape, axes=axes, reverse=reverse, backend="reference")  # type: ignore[arg-type]
    torch.testing.assert_close(actual, expected)


def test_memory_layout_of_the_inputs_does_not_matter(backend: str) -> None:
    length = 20 if backend == "triton" else 70  # interpreted
    inputs = make_inputs(length=length, dim=19)
    contiguous = {k: None if v is None else v.contiguous() for k, v in inputs.items()}
    wide = {
        k: None if v is None else torch.stack([v, torch.full_like(v, float("nan"))], -1)[..., 0]
        for k, v in inputs.items()
    }
    expected = selective_scan(**inputs, dt_softplus=True, backend=backend)  # type: ignore[arg-type]
    for other in (contiguous, wide):
        actual = selective_scan(**other, dt_softplus=True, backend=backend)  # type: ignore[arg-type]
        torch.testing.assert_close(actual, expected, rtol=1e-6, atol=1e-6)
    check_against_equation(contiguous, backend, (length,), (0,), True)


def test_large_steps_and_inputs_stay_finite(backend: str) -> None:
    inputs = make_inputs(length=40, dim=8)
    inputs["dt"] = inputs["dt"] * 100  # type: ignore[operator]
    inputs["z"] = inputs["z"] * 100  # type: ignore[operator]
    check_against_equation(inputs, backend, (40,), (0,), False)


@pytest.mark.few_on_triton  # the interpreter runs one program after the other
def test_runs_are_bitwise_equal(backend: str) -> None:
    results = []
    sizes = {"length": 20, "dim": 18, "batch": 1} if backend == "triton" else {"length": 200, "dim": 40}  # interpreted
    for _ in range(2):
        inputs = differentiable(make_inputs(**sizes))
        y = selective_scan(**inputs, dt_softplus=True, backend=backend)  # type: ignore[arg-type]
        results.append([y, *gradients([y], inputs, [torch.ones_like(y)]).values()])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_three_axis_B_and_C_mean_one_group(backend: str) -> None:
    inputs = make_inputs(length=11)
    expected = selective_scan(**inputs, dt_softplus=True, backend=backend)  # type: ignore[arg-type]
    squeezed = inputs | {"B": inputs["B"][:, 0], "C": inputs["C"][:, 0]}  # type: ignore[index]
    torch.testing.assert_close(selective_scan(**squeezed, dt_softplus=True, backend=backend), expected)  # type: ignore[arg-type]


@pytest.mark.few_on_triton
@pytest.mark.parametrize(("shape", "axes"), [([66], [0]), ([6, 11], [1, 0])], ids=["line", "grid"])
def test_operator_is_registered_properly(backend: str, shape: list[int], axes: list[int]) -> None:
    inputs = differentiable(make_inputs(batch=1, length=66, dim=8, state=4))
    arguments = (*inputs.values(), True, shape, axes, [False] * len(shape), True, backend)
    torch.library.opcheck(
        torch.ops.medssm.selective_scan.default,
        arguments,
        test_utils=("test_schema", "test_autograd_registration", "test_faketensor", "test_aot_dispatch_static"),
    )


def test_compiled_function_gives_the_same(backend: str) -> None:
    def function(**inputs: Any) -> Tensor:
        return selective_scan(**inputs, dt_softplus=True, backend=backend).square().sum()

    plain, compiled = (differentiable(make_inputs(length=20, dim=8, state=4)) for _ in range(2))
    function(**plain).backward()
    torch.compile(function, backend="aot_eager", fullgraph=True)(**compiled).backward()
    for name, x in plain.items():
        torch.testing.assert_close(compiled[name].grad, x.grad)  # type: ignore[union-attr]


def test_no_states_are_kept_without_gradients() -> None:
    inputs = make_inputs(length=10)
    *_, checkpoints = torch.ops.medssm.selective_scan(*inputs.values(), False, [10], [0], [False], False, "reference")
    assert checkpoints.numel() == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dt": torch.zeros(2, 24, 66)}, r"dt has shape \(2, 24, 66\)"),
        ({"A": torch.zeros(23, 16)}, r"A has shape \(23, 16\); it must be \(24, state\)"),
        ({"B": torch.zeros(2, 5, 16, 67)}, "groups dividing 24"),
        ({"D": torch.zeros(1)}, r"D has shape \(1,\)"),
        ({"z": torch.zeros(2, 24, 67, dtype=torch.bfloat16)}, "z is torch.bfloat16 but u is torch.float32"),
    ],
)
def test_wrong_arguments_are_named(change: dict[str, Tensor], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        selective_scan(**make_inputs() | change)  # type: ignore[arg-type]


def test_wrong_grids_are_named() -> None:
    inputs = make_inputs(length=12)
    for shape, axes, reverse, message in (
        ((3, 5), (0, 1), False, "holds 15 tokens, but the sequence has 12"),
        ((3, 4), (0, 0), False, "no permutation"),
        ((3, 4), (0, 1), (True,), "reverse has 1 entries for a grid of 2 axes"),
    ):
        with pytest.raises(ShapeError, match=message):
            nd_selective_scan(**inputs, shape=shape, axes=axes, reverse=reverse)  # type: ignore[arg-type]


def test_asking_for_a_backend_that_cannot_run_gives_the_reason() -> None:
    inputs = make_inputs(length=5)
    with pytest.raises(BackendError, match="mamba_ssm: mamba_ssm runs on CUDA devices only"):
        selective_scan(**inputs, backend="mamba_ssm")  # type: ignore[arg-type]
    with pytest.raises(BackendError, match="no backend is called 'fast'"):
        selective_scan(**inputs, backend="fast")  # type: ignore[arg-type]


def test_use_backend_sets_and_restores() -> None:
    inputs = make_inputs(length=5)
    with use_backend("mamba_ssm"), pytest.raises(BackendError, match="CUDA devices only"):
        selective_scan(**inputs)  # type: ignore[arg-type]
    assert selective_scan(**inputs).shape == (2, 24, 5)  # type: ignore[arg-type, union-attr]
    with pytest.raises(BackendError, match="no backend is called"), use_backend("none"):
        pass
