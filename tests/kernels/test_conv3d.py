"""The convolution over every backend, against torch's own in float64. Tensors are (B, C, D, H, W)."""

import itertools

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medssm.kernels import BackendError, ShapeError, conv3d, operators, use_backend
from medssm.kernels.native import kept_weights

OPERATOR = operators()["conv3d"]
TOLERANCE = 5e-6


@pytest.fixture(params=list(OPERATOR.modules))
def backend(request: pytest.FixtureRequest) -> str:
    if reason := OPERATOR.backend(request.param).unavailable(torch.device("cpu")):
        pytest.skip(reason)
    return request.param


def random(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def check(y: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> None:
    expected = F.conv3d(x.double(), weight.double(), None if bias is None else bias.double(), padding="same")
    error = ((y.double() - expected).abs().max() / expected.abs().max()).item()
    assert y.shape == expected.shape
    assert error <= TOLERANCE, f"relative error {error:.2e}"


@pytest.mark.parametrize("grid", [(1, 1, 1), (2, 3, 5), (7, 1, 9), (6, 6, 6), (5, 4, 97), (3, 12, 34)], ids=str)
@pytest.mark.parametrize(("channels", "outputs"), itertools.product((1, 3, 17, 64), repeat=2))
@pytest.mark.parametrize("side", [1, 3])
def test_agrees_with_float64(backend: str, side: int, channels: int, outputs: int, grid: tuple[int, ...]) -> None:
    x, weight = random(2, channels, *grid), random(outputs, channels, side, side, side)
    check(conv3d(x, weight, backend=backend), x, weight)


@pytest.mark.parametrize("side", [1, 3])
@pytest.mark.parametrize(("channels", "outputs"), [(1, 5), (24, 40)])
def test_bias_is_added(backend: str, side: int, channels: int, outputs: int) -> None:
    x, weight, bias = random(2, channels, 5, 6, 7), random(outputs, channels, side, side, side), random(outputs)
    check(conv3d(x, weight, bias, backend=backend), x, weight, bias)


@pytest.mark.parametrize("side", [1, 3])
def test_several_inputs_are_one_concatenated(backend: str, side: int) -> None:
    parts, weight = [random(2, n, 4, 5, 6) for n in (3, 8, 1)], random(6, 12, side, side, side)
    check(conv3d(parts, weight, backend=backend), torch.cat(parts, dim=1), weight)


@pytest.mark.parametrize(
    "view",
    [
        lambda x: x.transpose(2, 4),
        lambda x: x.to(memory_format=torch.channels_last_3d),
        lambda x: x[:, 1:6],
        lambda x: x[..., 1::2],
        lambda x: x[:1].expand(3, -1, -1, -1, -1),
    ],
    ids=["transposed", "channels_last", "some channels", "every second voxel", "expanded batch"],
)
def test_memory_layout_of_the_input_does_not_matter(backend: str, view: object) -> None:
    x = view(random(2, 8, 5, 6, 7))  # type: ignore[operator]
    for side in (1, 3):
        weight = random(9, x.shape[1], side, side, side).transpose(2, 4)
        check(conv3d(x, weight, backend=backend), x, weight)


def test_number_of_threads_does_not_change_the_result(backend: str) -> None:
    x, weight, threads = random(2, 12, 9, 10, 11), random(20, 12, 3, 3, 3), torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = conv3d(x, weight, backend=backend)
        torch.set_num_threads(3)
        three = conv3d(x, weight, backend=backend)
    finally:
        torch.set_num_threads(threads)
    torch.testing.assert_close(one, three, rtol=0, atol=0 if backend == "native" else 1e-4)


@pytest.mark.parametrize("inference", [False, True])
def test_changed_weights_are_noticed_however_they_are_written(backend: str, inference: bool) -> None:
    x = random(1, 8, 4, 4, 4)
    with torch.inference_mode(inference):
        weight = random(8, 8, 3, 3, 3)
        for write in (
            lambda w: w.mul_(2),
            lambda w: w.data.add_(1),
            lambda w: w.numpy().__setitem__((3, 3, 1, 1, 1), 9.0),
            lambda w: w.set_(random(8, 9, 3, 3, 3)[:, 1:].contiguous()),
        ):
            check(conv3d(x, weight, backend=backend), x, weight)
            write(weight)
        check(conv3d(x, weight, backend=backend), x, weight)


def test_weights_that_are_gone_leave_nothing_behind() -> None:
    before = len(kept_weights._kept)
    x = random(1, 8, 4, 4, 4)
    for seed in range(5):  # likely to reuse one another's memory and identity
        weight = random(8, 8, 3, 3, 3) + seed
        check(conv3d(x, weight), x, weight)
        del weight
    assert len(kept_weights._kept) == before


def test_gradients_come_from_torch() -> None:
    x, weight, bias = (t.requires_grad_() for t in (random(1, 3, 4, 5, 6), random(4, 3, 3, 3, 3), random(4)))
    actual = torch.autograd.grad(conv3d(x, weight, bias).square().sum(), (x, weight, bias))
    expected = torch.autograd.grad(F.conv3d(x, weight, bias, padding=1).square().sum(), (x, weight, bias))
    for a, b in zip(actual, expected, strict=True):
        torch.testing.assert_close(a, b)


def test_native_by_name_refuses_gradients() -> None:
    weight = random(4, 3, 3, 3, 3).requires_grad_()
    with pytest.raises(BackendError, match="conv3d on native computes no gradients"):
        conv3d(random(1, 3, 4, 5, 6), weight, backend="native")


def test_native_by_name_refuses_other_types() -> None:
    with pytest.raises(BackendError, match="native takes float32, not float64"):
        conv3d(random(1, 3, 4, 5, 6).double(), random(4, 3, 3, 3, 3).double(), backend="native")


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_types_run_on_torch(dtype: torch.dtype) -> None:
    x, weight = random(1, 3, 4, 5, 6).to(dtype), random(4, 3, 3, 3, 3).to(dtype)
    torch.testing.assert_close(conv3d(x, weight), F.conv3d(x, weight, padding=1))


def test_autocast_is_followed() -> None:
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert conv3d(random(1, 3, 4, 5, 6), random(4, 3, 3, 3, 3)).dtype == torch.bfloat16


def test_operator_is_registered_properly(backend: str) -> None:
    arguments = ([random(2, 3, 3, 4, 5), random(2, 2, 3, 4, 5)], random(4, 5, 3, 3, 3), random(4), backend)
    torch.library.opcheck(torch.ops.medssm.conv3d.default, arguments)


class Network(nn.Module):
    """Two convolutions on an image, the second on two tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Parameter(random(4, 1, 3, 3, 3))
        self.second = nn.Parameter(random(2, 8, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        y = conv3d(x, self.first)
        return conv3d([y, y.relu()], self.second)


@pytest.mark.parametrize("transform", ["compile", "export"])
def test_compiled_and_exported_networks_agree(transform: str) -> None:
    network, x = Network(), random(1, 1, 5, 6, 7)
    with torch.no_grad():
        if transform == "compile":
            torch._dynamo.reset()
            changed = torch.compile(network, backend="aot_eager", fullgraph=True)
        else:
            changed = torch.export.export(network, (x,)).module()
        torch.testing.assert_close(changed(x), network(x))
    assert network(x).requires_grad


def test_use_backend_chooses(backend: str) -> None:
    x, weight = random(1, 3, 4, 5, 6), random(4, 3, 3, 3, 3)
    with use_backend(backend):
        assert torch.equal(conv3d(x, weight), conv3d(x, weight, backend=backend))


@pytest.mark.parametrize(
    ("x", "weight", "bias", "message"),
    [
        (torch.zeros(3, 4, 5, 6), torch.zeros(4, 3, 3, 3, 3), None, r"it must be \(batch, channels, D, H, W\)"),
        (torch.zeros(1, 3, 4, 5, 6), torch.zeros(4, 2, 3, 3, 3), None, r"it must be \(out, 3, k, k, k\)"),
        (torch.zeros(1, 3, 4, 5, 6), torch.zeros(4, 3, 5, 5, 5), None, r"with k = 3 or 1"),
        (torch.zeros(1, 3, 4, 5, 6), torch.zeros(4, 3, 3, 3, 3), torch.zeros(3), r"bias has shape \(3,\)"),
        ([torch.zeros(1, 1, 4, 4, 4), torch.zeros(1, 1, 4, 4, 5)], torch.zeros(4, 2, 1, 1, 1), None, "may differ"),
    ],
)
def test_wrong_arguments_are_named(x: Tensor, weight: Tensor, bias: Tensor | None, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        conv3d(x, weight, bias)
