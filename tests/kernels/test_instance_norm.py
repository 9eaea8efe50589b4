"""Instance norm, residual and LeakyReLU over every backend, against the definition in float64."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from medssm.kernels import BackendError, ShapeError, instance_norm, operators

OPERATOR = operators()["instance_norm"]
TOLERANCE = 5e-6


@pytest.fixture(params=list(OPERATOR.modules))
def backend(request: pytest.FixtureRequest) -> str:
    if reason := OPERATOR.backend(request.param).unavailable(torch.device("cpu")):
        pytest.skip(reason)
    return request.param


def random(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def by_definition(x: Tensor, eps: float, residual: Tensor | None, negative_slope: float | None) -> Tensor:
    x = x.double()
    centred = x - x.mean((2, 3, 4), keepdim=True)
    y = centred / (centred.square().mean((2, 3, 4), keepdim=True) + eps).sqrt()
    y = y if residual is None else y + residual.double()
    return y if negative_slope is None else torch.where(y > 0, y, negative_slope * y)


def check(y: Tensor, expected: Tensor, tolerance: float = TOLERANCE) -> None:
    error = ((y.double() - expected).abs().max() / expected.abs().max().clamp(min=1)).item()
    assert y.shape == expected.shape
    assert error <= tolerance, f"relative error {error:.2e}"


@pytest.mark.parametrize("negative_slope", [None, 0.01])
@pytest.mark.parametrize("has_residual", [False, True])
@pytest.mark.parametrize(
    "shape", [(1, 1, 1, 1, 1), (2, 3, 1, 1, 5), (2, 17, 3, 4, 5), (1, 64, 7, 1, 9), (1, 1, 20, 21, 23)], ids=str
)
def test_agrees_with_definition(
    backend: str, shape: tuple[int, ...], has_residual: bool, negative_slope: float | None
) -> None:
    x, residual = random(*shape), random(*shape).flip(1) if has_residual else None
    y = instance_norm(x, residual=residual, negative_slope=negative_slope, eps=1e-3, backend=backend)
    check(y, by_definition(x, 1e-3, residual, negative_slope))


def test_large_mean_does_not_drown_the_variance(backend: str) -> None:
    x = 0.1 * random(1, 3, 20, 21, 23) + 1000
    # torch's own loses the most here; the inputs themselves carry 3e-4 of the deviation.
    check(instance_norm(x, backend=backend), by_definition(x, 1e-5, None, None), 1e-5 if backend == "native" else 1e-3)


def test_values_whose_squares_overflow_have_a_variance(backend: str) -> None:
    if backend == "torch":
        pytest.skip("torch's own operator overflows")
    x = 1e25 * random(1, 3, 20, 21, 23)
    check(instance_norm(x, backend=backend), by_definition(x, 1e-5, None, None), 1e-5)


def test_number_of_threads_does_not_change_the_result(backend: str) -> None:
    threads, results = torch.get_num_threads(), []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            results.append(instance_norm(random(1, 5, 20, 21, 23), backend=backend))
    finally:
        torch.set_num_threads(threads)
    for other in results[1:]:
        torch.testing.assert_close(other, results[0], rtol=0, atol=0 if backend == "native" else 1e-5)


@pytest.mark.parametrize("view", [lambda x: x, lambda x: x.transpose(2, 4), lambda x: x[:, ::2]])
def test_inplace_writes_over_x_and_nothing_else(backend: str, view: object) -> None:
    x = view(random(2, 6, 3, 4, 5))  # type: ignore[operator]
    residual = random(*x.shape)
    expected, kept = by_definition(x, 1e-5, residual, 0.1), residual.clone()
    with torch.no_grad():
        y = instance_norm(x, residual=residual, negative_slope=0.1, inplace=True, backend=backend)
    assert y.data_ptr() == x.data_ptr() or backend == "torch"
    check(y, expected)
    assert torch.equal(residual, kept)


def test_without_inplace_x_is_kept(backend: str) -> None:
    x = random(1, 2, 3, 4, 5)
    before = x.clone()
    instance_norm(x, residual=x, backend=backend)
    assert torch.equal(x, before)


@pytest.mark.parametrize("inplace", [False, True])
def test_gradients_come_from_torch(inplace: bool) -> None:
    x, residual = (t.requires_grad_() for t in (random(1, 3, 4, 5, 6), random(1, 3, 6, 5, 4).transpose(2, 4)))
    y = instance_norm(x, residual=residual, negative_slope=0.1, inplace=inplace)
    actual = torch.autograd.grad(y.pow(3).sum(), (x, residual))
    plain = F.leaky_relu(F.instance_norm(x) + residual, 0.1)
    for a, b in zip(actual, torch.autograd.grad(plain.pow(3).sum(), (x, residual)), strict=True):
        torch.testing.assert_close(a, b)
    with pytest.raises(BackendError, match="instance_norm on native computes no gradients"):
        instance_norm(x, backend="native")


def test_operators_are_registered_properly(backend: str) -> None:
    x, residual = random(2, 3, 3, 4, 5), random(2, 3, 5, 4, 3).transpose(2, 4)
    for arguments in ((x, residual, 1e-5, 0.01, backend), (x, None, 1e-5, None, backend)):
        torch.library.opcheck(torch.ops.medssm.instance_norm.default, arguments)
        torch.library.opcheck(torch.ops.medssm.instance_norm_.default, arguments)


def test_compiled_inplace_agrees() -> None:
    def block(x: Tensor) -> Tensor:
        return instance_norm(x * 2, residual=x, negative_slope=0.1, inplace=True)

    torch._dynamo.reset()
    x = random(1, 3, 4, 5, 6)
    with torch.no_grad():
        torch.testing.assert_close(torch.compile(block, backend="aot_eager", fullgraph=True)(x), block(x))


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ShapeError, match=r"residual has shape \(1, 3, 4, 5, 7\); it must be \(1, 3, 4, 5, 6\)"):
        instance_norm(torch.zeros(1, 3, 4, 5, 6), residual=torch.zeros(1, 3, 4, 5, 7))
    with pytest.raises(ShapeError, match="it must be \\(batch, channels, D, H, W\\)"):
        instance_norm(torch.zeros(3, 4, 5, 6))
