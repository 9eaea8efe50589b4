"""The scan over a grid by every backend: forward and all gradients against autograd of the float64 equation."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from medssm.kernels import BackendError, ShapeError, operators, selective_scan, wavefront_scan
from medssm.kernels.wavefront_scan._tensors import GridTensors

OPERATOR = operators()["wavefront_scan"]
CPU = torch.device("cpu")
# Largest error, relative to the largest entry of what is compared.
TOLERANCE = {torch.float64: 1e-10, torch.float32: 2e-5, torch.bfloat16: 3e-2}
GOLDEN = Path(__file__).with_name("golden") / "scan2d.golden.npz"

Arguments = dict[str, Tensor | None]


@pytest.fixture(params=list(OPERATOR.modules))
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    module = OPERATOR.backend(request.param)
    if reason := module.unavailable(CPU):
        pytest.skip(reason)
    if request.param == "triton":  # Triton's interpreter takes its time by the program, whatever its width
        monkeypatch.setattr(module, "FORWARD_CHANNELS", (32,))
        monkeypatch.setattr(module, "BACKWARD_CHANNELS", (32,))
    return request.param


def make_inputs(
    shape: tuple[int, int] = (5, 7),
    batch: int = 2,
    dim: int = 6,
    state: int = 16,
    optional: bool = True,
    dtype: torch.dtype = torch.float32,
) -> Arguments:
    """Arguments by name, rounded to `dtype` already, so that the float64 reference starts from the same numbers."""
    generator = torch.Generator().manual_seed(0)
    length = shape[0] * shape[1]

    def tokens(width: int) -> Tensor:
        return torch.randn((batch, length, width), generator=generator).transpose(1, 2).to(dtype)

    def channels(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    return {
        "x": tokens(dim),
        "dt_top": 0.5 * tokens(dim),
        "dt_left": 0.5 * tokens(dim),
        "A_top": -channels(dim, state).abs() - 0.1,
        "A_left": -channels(dim, state).abs() - 0.1,
        "B_top": tokens(state),
        "B_left": tokens(state),
        "C": tokens(state),
        "D": channels(dim) if optional else None,
        "dt_bias_top": channels(dim) - 1 if optional else None,
        "dt_bias_left": channels(dim) - 1 if optional else None,
    }


def differentiable(inputs: Arguments, dtype: torch.dtype | None = None) -> Arguments:
    return {k: None if v is None else v.detach().to(dtype or v.dtype).requires_grad_() for k, v in inputs.items()}


def gradients(y: Tensor, inputs: Arguments, weights: Tensor) -> dict[str, Tensor]:
    present = {k: v for k, v in inputs.items() if v is not None}
    return dict(
        zip(
            present,
            torch.autograd.grad(y, list(present.values()), weights.to(y.dtype), materialize_grads=True),
            strict=True,
        )
    )


def assert_close(actual: Tensor, expected: Tensor, tolerance: float, name: str) -> None:
    assert actual.shape == expected.shape, name
    scale = expected.abs().max().clamp(min=1e-6)
    error = ((actual.double() - expected).abs().max() / scale).item()
    assert error <= tolerance, f"{name}: relative error {error:.2e}"


def equation(inputs: Arguments, shape: tuple[int, int], softplus: bool) -> Tensor:
    """The definition, cell by cell: y of a scan from the top left corner, differentiable."""
    x, A_top, A_left = (inputs[name] for name in ("x", "A_top", "A_left"))
    assert x is not None
    steps = []
    for axis in ("top", "left"):
        dt, bias = inputs[f"dt_{axis}"], inputs[f"dt_bias_{axis}"]
        dt = dt if bias is None else dt + bias[:, None]  # type: ignore[operator]
        steps.append(torch.nn.functional.softplus(dt) if softplus else dt)
    height, width = shape
    h: dict[tuple[int, int], Tensor] = {}
    ys = []
    for i, j in itertools.product(range(height), range(width)):
        t = i * width + j
        x_t, dt_top, dt_left = (s[..., t, None] for s in (x, *steps))  # type: ignore[index]
        B_top, B_left, C = (inputs[name][:, None, :, t] for name in ("B_top", "B_left", "C"))  # type: ignore[index]
        b_top, b_left = dt_top * B_top * x_t, dt_left * B_left * x_t
        if i == 0 and j == 0:
            h[i, j] = b_left
        elif i == 0:
            h[i, j] = torch.exp(dt_left * A_left) * h[i, j - 1] + b_left
        elif j == 0:
            h[i, j] = torch.exp(dt_top * A_top) * h[i - 1, j] + b_top
        else:
            top = torch.exp(dt_top * A_top) * h[i - 1, j] + b_top
            left = torch.exp(dt_left * A_left) * h[i, j - 1] + b_left
            h[i, j] = 0.5 * (top + left)
        ys.append((h[i, j] * C).sum(-1))
    y = torch.stack(ys, dim=-1)
    return y if inputs["D"] is None else y + inputs["D"][:, None] * x


def flipped(inputs: Arguments) -> Arguments:
    """Both axes of the grid reversed."""
    return {k: v.flip(-1) if v is not None and v.ndim == 3 else v for k, v in inputs.items()}


def check_against_equation(
    inputs: Arguments, backend: str, shape: tuple[int, int], reverse: bool = False, softplus: bool = True
) -> None:
    """Output and every gradient of a backend beside autograd through the equation in float64."""
    assert inputs["x"] is not None
    tolerance = TOLERANCE[inputs["x"].dtype]
    exact = differentiable(inputs, torch.float64)
    y_exact = equation(flipped(exact), shape, softplus).flip(-1) if reverse else equation(exact, shape, softplus)
    weights = torch.randn(y_exact.shape, generator=torch.Generator().manual_seed(1)).to(inputs["x"].dtype)
    given = differentiable(inputs)
    y = wavefront_scan(**given, dt_softplus=softplus, shape=shape, reverse=reverse, backend=backend)  # type: ignore[arg-type]
    assert y.dtype == inputs["x"].dtype
    assert_close(y, y_exact, tolerance, "y")
    expected = gradients(y_exact, exact, weights)
    for name, gradient in gradients(y, given, weights).items():
        assert_close(gradient, expected[name], tolerance, f"gradient of {name}")


@pytest.mark.few_on_triton("False-dtype2", "True-dtype1")
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("reverse", [False, True])
def test_a_grid_agrees_with_the_equation(backend: str, dtype: torch.dtype, reverse: bool) -> None:
    if dtype == torch.float64 and backend != "reference":
        pytest.skip("only the reference computes in float64")
    inputs = make_inputs(dtype=dtype)
    if dtype == torch.float64:
        inputs = {k: None if v is None else v.double() for k, v in inputs.items()}
    check_against_equation(inputs, backend, (5, 7), reverse)


@pytest.mark.few_on_triton("(1, 1)", "(1, 7)", "(7, 1)", "(17, 2)")
@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1), (3, 13), (8, 4), (9, 4), (17, 2)], ids=str)
def test_every_shape_of_grid_agrees_with_the_equation(backend: str, shape: tuple[int, int]) -> None:
    """Among them one row, one column, exactly the rows between two checkpoints, one more, and more than twice them."""
    check_against_equation(make_inputs(shape, batch=1, dim=5, state=3), backend, shape)


@pytest.mark.few_on_triton("'batch': 1}", "'state': 21}", "'optional': False}")
@pytest.mark.parametrize(
    "sizes",
    [
        {"dim": 1, "state": 1},
        {"dim": 16, "state": 4},
        {"dim": 33, "state": 5, "batch": 1},
        {"dim": 8, "state": 21},
        {"dim": 31, "optional": False},
    ],
    ids=str,
)
def test_odd_sizes_agree_with_the_equation(backend: str, sizes: dict[str, int]) -> None:
    check_against_equation(make_inputs((2, 3), **sizes), backend, (2, 3))


def test_steps_may_come_without_softplus(backend: str) -> None:
    inputs = make_inputs((2, 3))
    inputs |= {name: inputs[name].abs() for name in ("dt_top", "dt_left", "dt_bias_top", "dt_bias_left")}  # type: ignore[union-attr]
    check_against_equation(inputs, backend, (2, 3), softplus=False)


def test_one_row_is_a_line_with_the_parameters_of_left_and_one_column_one_with_those_of_top(backend: str) -> None:
    """But for the first cell of a column, which takes the input of left: the two axes have the same step and B here."""
    inputs = make_inputs((1, 13), batch=1)
    inputs |= {"B_top": inputs["B_left"], "dt_top": inputs["dt_left"], "dt_bias_top": inputs["dt_bias_left"]}
    for shape, A in (((1, 13), "A_left"), ((13, 1), "A_top")):
        names = {"u": "x", "dt": "dt_left", "A": A, "B": "B_left", "C": "C", "D": "D", "dt_bias": "dt_bias_left"}
        line = {name: inputs[ours] for name, ours in names.items()}
        expected = selective_scan(**line, dt_softplus=True, backend="reference")  # type: ignore[arg-type]
        actual = wavefront_scan(**inputs, dt_softplus=True, shape=shape, backend=backend)  # type: ignore[arg-type]
        assert_close(actual, expected.double(), TOLERANCE[torch.float32], str(shape))


def test_memory_layout_of_the_inputs_does_not_matter(backend: str) -> None:
    """Channels before cells, and every other number of a tensor whose rest is no number."""
    shape = (2, 18)
    inputs = make_inputs(shape, batch=1)
    contiguous = {k: None if v is None else v.contiguous() for k, v in inputs.items()}
    wide = {
        k: None if v is None else torch.stack([v, torch.full_like(v, float("nan"))], -1)[..., 0]
        for k, v in inputs.items()
    }
    check_against_equation(contiguous, backend, shape, reverse=True)
    check_against_equation(wide, backend, shape)


def test_one_B_for_both_axes_gets_both_gradients(backend: str) -> None:
    exact = differentiable(make_inputs((2, 3)), torch.float64)
    exact["B_left"] = exact["B_top"]
    given = differentiable(make_inputs((2, 3)))
    given["B_left"] = given["B_top"]
    y = wavefront_scan(**given, dt_softplus=True, shape=(2, 3), backend=backend)  # type: ignore[arg-type]
    (dB,) = torch.autograd.grad(y.sum(), [given["B_top"]])  # type: ignore[list-item]
    (dB_exact,) = torch.autograd.grad(equation(exact, (2, 3), True).sum(), [exact["B_top"]])  # type: ignore[list-item]
    assert_close(dB, dB_exact, TOLERANCE[torch.float32], "gradient of B")


def test_large_steps_and_inputs_stay_finite(backend: str) -> None:
    inputs = make_inputs((3, 4))
    inputs |= {name: inputs[name] * 100 for name in ("dt_top", "dt_left")}  # type: ignore[operator]
    check_against_equation(inputs, backend, (3, 4))


@pytest.mark.few_on_triton  # the interpreter runs one program after the other
def test_runs_are_bitwise_equal(backend: str) -> None:
    shape = (9, 6)
    results = []
    for _ in range(2):
        inputs = differentiable(make_inputs(shape, batch=1))
        y = wavefront_scan(**inputs, dt_softplus=True, shape=shape, backend=backend)  # type: ignore[arg-type]
        results.append([y, *gradients(y, inputs, torch.ones_like(y)).values()])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


@pytest.mark.few_on_triton
def test_operator_is_registered_properly(backend: str) -> None:
    inputs = differentiable(make_inputs((9, 1), batch=1, state=4))
    torch.library.opcheck(
        torch.ops.medssm.wavefront_scan.default,
        (*inputs.values(), True, [9, 1], True, True, backend),
        test_utils=("test_schema", "test_autograd_registration", "test_faketensor", "test_aot_dispatch_static"),
    )


@pytest.mark.few_on_triton
def test_compiled_function_gives_the_same(backend: str) -> None:
    def function(**inputs: Any) -> Tensor:
        return wavefront_scan(**inputs, dt_softplus=True, shape=(2, 3), backend=backend).square().sum()

    plain, compiled = (differentiable(make_inputs((2, 3), dim=8, state=4)) for _ in range(2))
    function(**plain).backward()
    torch.compile(function, backend="aot_eager", fullgraph=True)(**compiled).backward()
    for name, x in plain.items():
        torch.testing.assert_close(compiled[name].grad, x.grad)  # type: ignore[union-attr]


def test_no_states_are_kept_without_gradients(backend: str) -> None:
    inputs = make_inputs((17, 2)).values()
    _, checkpoints = torch.ops.medssm.wavefront_scan(*inputs, True, [17, 2], False, False, backend)
    assert checkpoints.numel() == 0


# The published recurrence


def golden(prefix: str) -> dict[str, Tensor]:
    """Tensors in float64, those of cells as (batch, channels, length)."""
    found = {}
    with np.load(GOLDEN) as arrays:
        for name in arrays.files:
            if name.startswith(prefix):
                value = torch.from_numpy(arrays[name])
                found[name.removeprefix(prefix)] = value.flatten(1, 2).transpose(1, 2) if value.ndim == 4 else value
    return found


NAMES = {"x": "x", "dt_top": "dT", "dt_left": "dL", "A_top": "AT", "A_left": "AL", "B_top": "BT", "B_left": "BL"}
NAMES |= {"C": "C", "D": "D"}


@pytest.mark.parametrize("release", ["op.", "op1."])
def test_published_operator_is_reproduced(backend: str, release: str) -> None:
    """With a B for each axis (op) and one for both (op1), whose gradients add up."""
    arrays = golden("op.") | golden(release)
    dtype = torch.float64 if backend == "reference" else torch.float32
    inputs: Arguments = {name: arrays[theirs] for name, theirs in NAMES.items()}
    inputs = differentiable(inputs, dtype)
    if release == "op1.":
        inputs["B_left"] = inputs["B_top"]
    y = wavefront_scan(**inputs, shape=(5, 7), backend=backend)  # type: ignore[arg-type]
    assert_close(y, arrays["y"], TOLERANCE[dtype], "y")
    y.backward(arrays["grad_y"].to(dtype))
    for name, theirs in NAMES.items():
        theirs = "B" if release == "op1." and name in ("B_top", "B_left") else theirs
        gradient = inputs[name].grad  # type: ignore[union-attr]
        assert_close(gradient, arrays[f"grad_{theirs}"], TOLERANCE[dtype], f"gradient of {name}")


def test_published_recurrence_of_the_states_is_reproduced(backend: str) -> None:
    """Gates a and inputs b given one by one: each (channel, state) as a channel of one state, whose y is h.

    The step is -log(a) with A = -1. One x serves both axes, so h, which is linear in b, is the sum of two scans: for
    each axis the one with x = b / step whose B is 1 on this axis and 0 on the other.
    """
    arrays = golden("states.")
    dtype = torch.float64 if backend == "reference" else torch.float32

    def apart(t: Tensor) -> Tensor:
        return t.flatten(1, 2).flatten(2, 3).transpose(1, 2)  # (2, 6 * 4, 5 * 7)

    names = ("aT", "aL", "bT", "bL")
    aT, aL, bT, bL = leaves = [arrays[name].requires_grad_() for name in names]
    steps = [-torch.log(apart(a)) for a in (aT, aL)]
    ones, A = torch.ones(2, 1, 35), -torch.ones(24, 1)
    h = torch.zeros(2, 24, 35)
    for b, step, axis in zip((bT, bL), steps, torch.eye(2), strict=True):
        B_top, B_left = (acts * ones for acts in axis)
        inputs = GridTensors(apart(b) / step, *steps, A, A, B_top, B_left, ones, None, None, None)
        given = [None if t is None else t.to(dtype) for t in inputs]
        h = h + wavefront_scan(*given, shape=(5, 7), backend=backend)  # type: ignore[arg-type]
    assert_close(h, apart(arrays["h"]), TOLERANCE[dtype], "h")
    found = torch.autograd.grad(h, leaves, apart(arrays["grad_h"]).to(h.dtype))
    for name, gradient in zip(names, found, strict=True):
        assert_close(gradient, arrays[f"grad_{name}"], TOLERANCE[dtype], f"gradient of {name}")


# Arguments


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dt_left": torch.zeros(2, 6, 34)}, r"dt_left has shape \(2, 6, 34\); with x \(2, 6, 35\) and 16 states"),
        ({"A_top": torch.zeros(5, 16)}, r"A_top has shape \(5, 16\); it must be \(6, state\)"),
        ({"A_left": torch.zeros(6, 4)}, r"A_left has shape \(6, 4\); .* it must be \(6, 16\)"),
        ({"B_top": torch.zeros(2, 4, 35)}, r"B_top has shape \(2, 4, 35\); .* it must be \(2, 16, 35\)"),
        ({"D": torch.zeros(1)}, r"D has shape \(1,\)"),
        ({"C": torch.zeros(2, 16, 35).bfloat16()}, "C is torch.bfloat16 but x is torch.float32"),
        ({"x": torch.zeros(2, 6)}, r"x has shape \(2, 6\); it must be \(batch, dim, length\)"),
    ],
)
def test_wrong_arguments_are_named(change: dict[str, Tensor], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        wavefront_scan(**make_inputs() | change, shape=(5, 7))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((5, 8), "holds 40 tokens, but the sequence has 35"),
        ((35,), r"shape \(35,\) has 1 axes; it must be \(height, width\)"),
    ],
)
def test_wrong_grids_are_named(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        wavefront_scan(**make_inputs(), shape=shape)  # type: ignore[arg-type]


def test_asking_for_a_backend_that_there_is_not_gives_the_reason() -> None:
    with pytest.raises(BackendError, match="wavefront_scan has no backend 'mamba_ssm'; it has"):
        wavefront_scan(**make_inputs(), shape=(5, 7), backend="mamba_ssm")  # type: ignore[arg-type]
