"""The up-convolution over every backend, against torch's own in float64. Tensors are (B, C, D, H, W)."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from medssm.kernels import BackendError, ShapeError, conv_transpose3d, operators

OPERATOR = operators()["conv_transpose3d"]
TOLERANCE = 5e-6


@pytest.fixture(params=list(OPERATOR.modules))
def backend(request: pytest.FixtureRequest) -> str:
    if reason := OPERATOR.backend(request.param).unavailable(torch.device("cpu")):
        pytest.skip(reason)
    return request.param


def random(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def check(backend: str, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> None:
    y = conv_transpose3d(x, weight, bias, backend=backend)
    doubles = (None if t is None else t.double() for t in (x, weight, bias))
    expected = F.conv_transpose3d(*doubles, stride=weight.shape[2:])
    error = ((y.double() - expected).abs().max() / expected.abs().max()).item()
    assert y.shape == expected.shape
    assert error <= TOLERANCE, f"relative error {error:.2e}"


@pytest.mark.parametrize("grid", [(1, 1, 1), (2, 3, 5), (4, 1, 9), (6, 6, 6), (3, 2, 49)], ids=str)
@pytest.mark.parametrize(("channels", "outputs"), [(1, 1), (3, 17), (17, 3), (64, 32), (1, 64)])
def test_agrees_with_float64(backend: str, channels: int, outputs: int, grid: tuple[int, ...]) -> None:
    check(backend, random(2, channels, *grid), random(channels, outputs, 2, 2, 2))


def test_bias_is_added(backend: str) -> None:
    check(backend, random(2, 5, 3, 4, 5), random(5, 7, 2, 2, 2), random(7))


@pytest.mark.parametrize("block", [(1, 2, 2), (2, 1, 1), (1, 1, 1)], ids=str)
def test_axes_may_stay_as_they_are_and_native_says_that_its_own_do_not(block: tuple[int, ...]) -> None:
    x, weight = random(2, 5, 3, 4, 5), random(5, 7, *block)
    check("auto", x, weight, random(7))
    reason = OPERATOR.backend("native").unsupported(x, weight, None)
    assert reason == f"native doubles every axis, and these weights make blocks of {'x'.join(map(str, block))}"
    arguments = (x, weight, None, "torch")
    torch.library.opcheck(torch.ops.medssm.conv_transpose3d.default, arguments, test_utils="test_faketensor")


def test_memory_layout_does_not_matter(backend: str) -> None:
    x = random(2, 6, 3, 4, 5)
    for view in (
        x.transpose(2, 4),
        x.to(memory_format=torch.channels_last_3d),
        x[:, 1:5],
        x[:1].expand(3, -1, -1, -1, -1),
    ):
        check(backend, view, random(view.shape[1], 7, 2, 2, 2).transpose(2, 4))


def test_changed_weights_are_noticed(backend: str) -> None:
    x, weight = random(1, 3, 4, 5, 6), random(3, 4, 2, 2, 2)
    for _ in range(3):
        check(backend, x, weight)
        weight.data.mul_(-2).add_(1)


def test_gradients_come_from_torch() -> None:
    x, weight = (t.requires_grad_() for t in (random(1, 3, 4, 5, 6), random(3, 4, 2, 2, 2)))
    actual = torch.autograd.grad(conv_transpose3d(x, weight).square().sum(), (x, weight))
    expected = torch.autograd.grad(F.conv_transpose3d(x, weight, stride=2).square().sum(), (x, weight))
    for a, b in zip(actual, expected, strict=True):
        torch.testing.assert_close(a, b)
    with pytest.raises(BackendError, match="conv_transpose3d on native computes no gradients"):
        conv_transpose3d(x, weight, backend="native")


def test_operator_is_registered_properly(backend: str) -> None:
    arguments = (random(2, 3, 3, 4, 5), random(3, 4, 2, 2, 2), random(4), backend)
    torch.library.opcheck(torch.ops.medssm.conv_transpose3d.default, arguments)


@pytest.mark.parametrize(
    ("weight", "bias", "message"),
    [
        (torch.zeros(4, 3, 2, 2, 2), None, r"it must be \(3, out, 2, 2, 2\)"),
        (torch.zeros(3, 4, 3, 3, 3), None, r"it must be \(3, out, 2, 2, 2\)"),
        (torch.zeros(3, 4, 2, 2, 2), torch.zeros(3), r"it must be \(4,\)"),
    ],
)
def test_wrong_arguments_are_named(weight: Tensor, bias: Tensor | None, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        conv_transpose3d(torch.zeros(1, 3, 4, 5, 6), weight, bias)
