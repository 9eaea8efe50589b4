"""What every operator promises on every backend, whatever the settings of the process and whatever it is handed."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

from medssm.kernels import (
    BackendError,
    ShapeError,
    causal_conv1d,
    instance_norm,
    native,
    nd_selective_scan,
    operators,
    state_fusion,
    state_scan,
    wavefront_scan,
)

sys.path.insert(0, str(Path(__file__).parent))
from operator_cases import CASES, CPU, Case

NEEDS_NATIVE = pytest.mark.skipif(native.unavailable() is not None, reason=str(native.unavailable()))


def run_program(name: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A program beside this file, in a process of its own."""
    command = [sys.executable, str(Path(__file__).with_name(name)), *arguments]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment}, check=False)


def test_every_operator_has_a_case() -> None:
    assert {case.operator for case in CASES.values()} == set(operators())


@NEEDS_NATIVE
@pytest.mark.parametrize(
    ("backend", "isa"),
    [
        *(("native", isa) for isa in ("avx512", "avx2", "neon", "baseline")),
        pytest.param("triton", "", marks=pytest.mark.slow),
    ],
)
@pytest.mark.few("avx512", "baseline")
def test_nan_and_infinity_come_through(backend: str, isa: str) -> None:
    """What is not finite in the equation is not so here; the rest agrees, but for entries that 0 x NaN reaches."""
    result = run_program("nonfinite.py", backend, MEDSSM_ISA=isa)
    if f"MEDSSM_ISA={isa}: not an instruction set that was built and runs here" in result.stderr:
        pytest.skip(f"{isa} was not built or does not run here")
    assert result.returncode == 0, result.stderr[-2000:]
    report = json.loads(result.stdout)
    assert isa in ("", report["isa"])
    if not report["found"]:
        pytest.skip(f"{backend} cannot run on this CPU")
    for name, found in report["found"].items():
        assert found["swallowed"] == 0, (name, found)
        assert found["spread"] <= 0.2, (name, found)
        assert found["error"] <= 1e-4, (name, found)


@pytest.mark.parametrize(
    ("dtype", "device"), [("bfloat16", "cpu"), ("float16", "cpu"), ("float64", "cpu"), ("float32", "meta")]
)
@pytest.mark.few("bfloat16-cpu", "float32-meta")
def test_defaults_of_torch_change_nothing(dtype: str, device: str) -> None:
    result = run_program("defaults.py", dtype, device, "native", "reference", "torch")
    assert result.returncode == 0, result.stderr[-2000:]
    same = json.loads(result.stdout)
    assert len(same) >= len(CASES)
    assert all(same.values()), [name for name, equal in same.items() if not equal]


# Arguments


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_tensor_on_another_device_is_named(case: Case) -> None:
    given = case.tensors()
    for name in list(given)[1:]:
        with pytest.raises(ShapeError, match=f"{name} is on meta but .* on cpu; put them on one device"):
            case.run(given | {name: given[name].to("meta")})


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_has_no_memory_gives_a_shape(case: Case) -> None:
    y = case.run({name: x.to("meta") for name, x in case.tensors().items()})
    assert y.device.type == "meta"
    assert y.shape == case.run(case.tensors()).shape


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize("dtype", [torch.complex64, torch.int64, torch.bool], ids=str)
def test_a_tensor_that_is_not_of_floats_is_named(case: Case, dtype: torch.dtype) -> None:
    given = case.tensors()
    for name in given:
        with pytest.raises(ShapeError, match=f"{name} is {dtype}; {case.operator} takes float32"):
            case.run(given | {name: given[name].to(dtype)})


def test_programs_that_were_moved_in_part_are_refused() -> None:
    """They call the operator without the function that checks its arguments."""
    for operator in operators().values():
        with pytest.raises(BackendError, match=f"{operator.name} was handed tensors on meta and cpu; move the program"):
            operator.choose("", CPU, torch.ones(1), [torch.ones(1, device="meta")])


@pytest.mark.parametrize(
    ("label", "call"),
    [
        ("nd_selective_scan", lambda t: nd_selective_scan(**t, shape=(-5, -14), axes=(0, 1))),
        ("causal_conv1d", lambda t: causal_conv1d(**t, shape=(-5, -14))),
        ("wavefront_scan", lambda t: wavefront_scan(**t, shape=(-9, -6))),
        ("state_fusion", lambda t: state_fusion(**t, shape=(-9, -7), dilations=(1, 3))),
    ],
)
def test_grids_of_negative_sizes_are_named(label: str, call: Callable[[dict[str, Tensor]], Tensor]) -> None:
    with pytest.raises(ShapeError, match=r"shape \(-\d, -\d+\)"):
        call(CASES[label].tensors())


def test_more_tokens_than_places_have_bits_for_are_refused() -> None:
    tokens, length = torch.ones(1).expand(1, 1, 2**31), 2**31
    message = "the sequence has 2147483648 tokens; cut it into pieces of at most 2147483647"
    with pytest.raises(ShapeError, match=message):
        causal_conv1d(tokens, torch.ones(1, 2))
    with pytest.raises(ShapeError, match=message):
        state_scan(tokens, tokens, -torch.ones(1, 1), tokens)
    with pytest.raises(ShapeError, match=message):
        state_fusion(tokens, torch.ones(1, 1, 3, 3), torch.ones(1), shape=(1, length), dilations=(1,))


def test_a_distance_beyond_the_grid_reaches_its_border() -> None:
    case = CASES["state_fusion"]
    far, farther = (state_fusion(**case.tensors(), shape=(9, 7), dilations=d) for d in ((1, 8), (1, 10**12)))
    torch.testing.assert_close(farther, far)


# Derivatives


class Call(nn.Module):
    """A case as a network, for torch.export."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        self.case = case

    def forward(self, *tensors: Tensor) -> Tensor:
        return self.case.run(dict(zip(self.case.shapes, tensors, strict=True)))


@pytest.mark.parametrize("label", [label for label, case in CASES.items() if case.has_gradient])
def test_a_program_exported_without_gradients_has_them(label: str) -> None:
    call = Call(CASES[label])
    given = list(CASES[label].tensors().values())
    with torch.no_grad():
        program = torch.export.export(call, tuple(given)).module()
    found = []
    for function in (program, call):
        inputs = [x.clone().requires_grad_() for x in given]
        found.append(torch.autograd.grad(function(*inputs).square().sum(), inputs))
    for actual, expected in zip(*found, strict=True):
        torch.testing.assert_close(actual, expected, rtol=0, atol=0)


@NEEDS_NATIVE
@pytest.mark.parametrize("label", [label for label, case in CASES.items() if not case.has_gradient])
def test_a_program_of_prediction_refuses_to_be_differentiated(label: str) -> None:
    given = list(CASES[label].tensors().values())
    with torch.no_grad():
        program = torch.export.export(Call(CASES[label]), tuple(given)).module()
    inputs = [x.clone().requires_grad_() for x in given]
    with pytest.raises(RuntimeError, match="no autograd formula was registered"):
        program(*inputs).sum().backward()


@NEEDS_NATIVE
def test_what_is_written_in_place_is_not_differentiated_as_if_it_were_not() -> None:
    x = torch.ones(1, 2, 3, 4, 5, requires_grad=True)
    with pytest.raises(BackendError, match="instance_norm in place computes no gradients"):
        torch.ops.medssm.instance_norm_(x * 2, None, 1e-5, 0.1, "")
    with torch.no_grad():
        kept = x.clone()
        instance_norm(x, negative_slope=0.1, inplace=True)
    assert torch.equal(x, kept)


@pytest.mark.parametrize("label", [label for label, case in CASES.items() if case.has_gradient])
def test_a_forward_mode_derivative_is_refused(label: str) -> None:
    case = CASES[label]
    message = f"{case.operator} has no forward-mode derivative"
    for name, x in case.tensors().items():
        with forward_ad.dual_level(), pytest.raises(BackendError, match=message):
            case.run(case.tensors() | {name: forward_ad.make_dual(x, torch.ones_like(x))})
    name, x = next(iter(case.tensors().items()))
    with pytest.raises(BackendError, match=message):
        torch.func.jvp(lambda t: case.run(case.tensors() | {name: t}), (x,), (torch.ones_like(x),))


def test_a_forward_mode_derivative_of_a_program_is_refused() -> None:
    case = CASES["causal_conv1d"]
    given = list(case.tensors().values())
    program = torch.export.export(Call(case), tuple(given)).module()
    with forward_ad.dual_level(), pytest.raises(BackendError, match="causal_conv1d has no forward-mode derivative"):
        program(forward_ad.make_dual(given[0], torch.ones_like(given[0])), *given[1:])


@pytest.mark.parametrize("label", [label for label, case in CASES.items() if not case.has_gradient])
def test_a_forward_mode_derivative_of_prediction_is_that_of_its_gradient(label: str) -> None:
    """t . J v = (J^T t) . v for any t and v."""
    case = CASES[label]
    for name, x in case.tensors().items():
        v = torch.linspace(-1, 1, x.numel()).view(x.shape)

        def function(tensor: Tensor, name: str = name) -> Tensor:
            return case.run(case.tensors() | {name: tensor})

        y, tangent = torch.func.jvp(function, (x,), (v,))
        t = torch.linspace(1, 2, y.numel()).view(y.shape)
        leaf = x.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(function(leaf), leaf, t)
        torch.testing.assert_close((t * tangent).sum(), (gradient * v).sum(), rtol=1e-3, atol=1e-3)


# Batches without samples


def empty_batch(case: Case, device: str) -> dict[str, Tensor]:
    """The case's arguments for no sample: those of the batch, whose first axis is 1 in every case, without it."""
    leading = len(next(iter(case.shapes.values())))
    batched = {name for name, shape in case.shapes.items() if shape[0] == 1 and len(shape) in (leading, 4)}
    return {name: (x[:0] if name in batched else x).to(device).requires_grad_() for name, x in case.tensors().items()}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_batch_without_samples_gives_none_and_gradients_of_zero(case: Case) -> None:
    whole = case.run(case.tensors())
    given = empty_batch(case, "cpu")
    for backend in (None, "reference", "triton") if case.has_gradient else (None,):
        y = case.run(given, backend)
        assert y.shape == (0, *whole.shape[1:])
        assert y.dtype == whole.dtype
        gradients = torch.autograd.grad(y.sum(), list(given.values()))
        for (name, x), gradient in zip(given.items(), gradients, strict=True):
            assert gradient.shape == x.shape, name
            assert not gradient.any(), name


@pytest.mark.parametrize("label", [label for label, case in CASES.items() if not case.has_gradient])
def test_a_prediction_of_no_samples_gives_none(label: str) -> None:
    case = CASES[label]
    with torch.no_grad():
        assert case.run(empty_batch(case, "cpu")).shape == (0, *case.run(case.tensors()).shape[1:])
