"""State fusion over every backend: forward and all gradients against autograd of torch's convolutions in float64."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from medssm.kernels import ShapeError, native, operators, state_fusion
from medssm.kernels.state_fusion._reference import fusion_equation

OPERATOR = operators()["state_fusion"]
CPU = torch.device("cpu")
# Largest error, relative to the largest entry of what is compared.
TOLERANCE = {torch.float64: 1e-10, torch.float32: 2e-5, torch.bfloat16: 3e-2}
DILATIONS = (1, 3, 5)


@pytest.fixture(params=list(OPERATOR.modules))
def backend(request: pytest.FixtureRequest) -> str:
    if reason := OPERATOR.backend(request.param).unavailable(CPU):
        pytest.skip(reason)
    return request.param


def make_inputs(
    shape: tuple[int, int],
    batch: int = 1,
    dim: int = 19,
    dilations: tuple[int, ...] = DILATIONS,
    dtype: torch.dtype = torch.float32,
) -> list[Tensor]:
    """h, kernels, alpha; h rounded to `dtype` already, so that float64 starts from the same numbers."""
    generator = torch.Generator().manual_seed(0)
    h = torch.randn((batch, shape[0] * shape[1], dim), generator=generator).transpose(1, 2).to(dtype)
    kernels = torch.randn((len(dilations), dim, 3, 3), generator=generator)
    return [h, kernels, 1 + 0.3 * torch.randn(len(dilations), generator=generator)]


def assert_close(actual: Tensor, expected: Tensor, tolerance: float, name: str) -> None:
    assert actual.shape == expected.shape, name
    error = ((actual.double() - expected).abs().max() / expected.abs().max().clamp(min=1e-6)).item()
    assert error <= tolerance, f"{name}: relative error {error:.2e}"


def fuse_exactly(
    h: Tensor, kernels: Tensor, alpha: Tensor, shape: tuple[int, int], dilations: tuple[int, ...]
) -> Tensor:
    return fusion_equation(h, alpha[:, None, None, None] * kernels, shape, dilations)


def check_against_convolutions(
    inputs: list[Tensor], backend: str, shape: tuple[int, int], dilations: tuple[int, ...] = DILATIONS
) -> None:
    """The fused states and every gradient of a backend beside autograd through three convolutions in float64."""
    exact = [x.detach().double().requires_grad_() for x in inputs]
    given = [x.detach().requires_grad_() for x in inputs]
    tolerance = TOLERANCE[inputs[0].dtype]
    expected = fuse_exactly(*exact, shape, dilations)
    fused = state_fusion(*given, shape=shape, dilations=dilations, backend=backend)
    assert fused.dtype == inputs[0].dtype
    assert_close(fused, expected, tolerance, "fused")
    weight = torch.randn_like(expected).to(fused.dtype)
    wanted = torch.autograd.grad(expected, exact, weight.double())
    for name, a, b in zip(("h", "kernels", "alpha"), torch.autograd.grad(fused, given, weight), wanted, strict=True):
        assert_close(a, b, tolerance, f"gradient of {name}")


@pytest.mark.few_on_triton("torch.bfloat16")
@pytest.mark.parametrize("dtype", list(TOLERANCE), ids=str)
def test_fusion_agrees_with_three_convolutions(backend: str, dtype: torch.dtype) -> None:
    if dtype == torch.float64 and backend != "reference":
        pytest.skip("only the reference computes in float64")
    inputs = make_inputs((14, 14), batch=2, dtype=dtype)
    check_against_convolutions([x.double() if dtype == torch.float64 else x for x in inputs], backend, (14, 14))


@pytest.mark.few_on_triton("(1, 1)-16", "(7, 1)-33", "(5, 3)-17")
@pytest.mark.parametrize(
    ("shape", "dim"),
    [((1, 1), 16), ((1, 7), 3), ((7, 1), 33), ((2, 2), 8), ((5, 3), 17), ((13, 17), 40), ((6, 23), 1)],
    ids=str,
)
def test_grids_of_any_size_agree_with_three_convolutions(backend: str, shape: tuple[int, int], dim: int) -> None:
    check_against_convolutions(make_inputs(shape, batch=1 + dim % 2, dim=dim), backend, shape)


@pytest.mark.few_on_triton("(2, 4)", "(5, 3, 1)")
@pytest.mark.parametrize("dilations", [(1,), (2, 4), (2, 2), (5, 3, 1), (1, 2, 3, 4)], ids=str)
def test_other_dilations_agree_with_as_many_convolutions(backend: str, dilations: tuple[int, ...]) -> None:
    check_against_convolutions(make_inputs((6, 9), dilations=dilations), backend, (6, 9), dilations)


@pytest.mark.parametrize("shape", [(14, 14), (4, 9), (2, 3)], ids=str)
def test_fusion_is_one_wide_convolution_of_25_taps(backend: str, shape: tuple[int, int]) -> None:
    h, kernels, alpha = make_inputs(shape)
    merged = torch.zeros(19, 11, 11)
    for kernel, factor, dilation in zip(kernels, alpha, DILATIONS, strict=True):
        for p in range(3):
            for q in range(3):
                merged[:, 5 + dilation * (p - 1), 5 + dilation * (q - 1)] += factor * kernel[:, p, q]
    assert (merged[0] != 0).sum() == 25
    padded = F.pad(h.unflatten(2, shape), (5, 5, 5, 5), mode="replicate")
    expected = F.conv2d(padded, merged[:, None], groups=19).flatten(2)
    actual = state_fusion(h, kernels, alpha, shape=shape, backend=backend)
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4)


def test_a_kernel_is_not_flipped_and_the_border_is_repeated(backend: str) -> None:
    """The right neighbour at distance 3 of 0 1 2 3 4, by hand."""
    kernels = torch.zeros(1, 1, 3, 3)
    kernels[0, 0, 1, 2] = 1
    fused = state_fusion(
        torch.arange(5.0).view(1, 1, 5), kernels, torch.tensor([2.0]), shape=(1, 5), dilations=(3,), backend=backend
    )
    assert fused.flatten().tolist() == [6, 8, 8, 8, 8]


def test_memory_layout_of_the_inputs_does_not_matter(backend: str) -> None:
    shape = (6, 7)
    inputs = make_inputs(shape)
    expected = state_fusion(*inputs, shape=shape, backend=backend)
    for other in ([x.contiguous() for x in inputs], [torch.stack([x, x * torch.nan], -1)[..., 0] for x in inputs]):
        torch.testing.assert_close(state_fusion(*other, shape=shape, backend=backend), expected)
        check_against_convolutions(other, backend, shape)


def test_changed_weights_are_seen_at_once(backend: str) -> None:
    """Also when they are written without autograd's knowledge, between calls that keep no graph."""
    h, kernels, alpha = make_inputs((5, 5))
    with torch.no_grad():
        before = state_fusion(h, kernels, alpha, shape=(5, 5), backend=backend)
        kernels.data.mul_(3)
        after = state_fusion(h, kernels, alpha, shape=(5, 5), backend=backend)
    torch.testing.assert_close(after, 3 * before)


@pytest.mark.few_on_triton  # the interpreter runs one program after the other
def test_runs_are_bitwise_equal(backend: str) -> None:
    results = []
    for _ in range(2):
        inputs = [x.requires_grad_() for x in make_inputs((7, 9), dim=40)]
        fused = state_fusion(*inputs, shape=(7, 9), backend=backend)
        results.append([fused, *torch.autograd.grad(fused.square().sum(), inputs)])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


@pytest.mark.skipif(native.unavailable() is not None, reason=str(native.unavailable()))
def test_threads_change_no_bit() -> None:
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            inputs = [x.requires_grad_() for x in make_inputs((14, 15), dim=70, batch=3)]
            fused = state_fusion(*inputs, shape=(14, 15), backend="native")
            results.append([fused, *torch.autograd.grad(fused.square().sum(), inputs)])
    finally:
        torch.set_num_threads(before)
    for others in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], others, strict=True))


@pytest.mark.few_on_triton
def test_operator_is_registered_properly(backend: str) -> None:
    h, kernels, _ = (x.requires_grad_() for x in make_inputs((3, 4), dim=5))
    torch.library.opcheck(
        torch.ops.medssm.state_fusion.default,
        (h, kernels, [3, 4], [1, 3, 5], backend),
        test_utils=("test_schema", "test_autograd_registration", "test_faketensor", "test_aot_dispatch_static"),
    )


@pytest.mark.few_on_triton
def test_compiled_function_gives_the_same(backend: str) -> None:
    def function(*inputs: Tensor) -> Tensor:
        return state_fusion(*inputs, shape=(3, 4), backend=backend).square().sum()

    plain, compiled = ([x.requires_grad_() for x in make_inputs((3, 4))] for _ in range(2))
    function(*plain).backward()
    torch.compile(function, backend="aot_eager", fullgraph=True)(*compiled).backward()
    for x, same in zip(plain, compiled, strict=True):
        torch.testing.assert_close(same.grad, x.grad)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"h": torch.zeros(2, 19)}, r"h has shape \(2, 19\)"),
        ({"shape": (3, 5)}, r"shape \(3, 5\) must be \(height, width\) of the 12 tokens of h"),
        ({"shape": (12,)}, r"shape \(12,\) must be \(height, width\)"),
        ({"dilations": (1, 0, 5)}, r"dilations are \(1, 0, 5\); give one or more, each at least 1"),
        ({"dilations": (1, 3)}, r"kernels has shape \(3, 19, 3, 3\); .* it must be \(2, 19, 3, 3\)"),
        ({"alpha": torch.ones(2)}, r"alpha has shape \(2,\); .* it must be \(3,\)"),
    ],
)
def test_wrong_arguments_are_named(change: dict[str, object], message: str) -> None:
    h, kernels, alpha = make_inputs((3, 4))
    with pytest.raises(ShapeError, match=message):
        state_fusion(**{"h": h, "kernels": kernels, "alpha": alpha, "shape": (3, 4)} | change)  # type: ignore[arg-type]
