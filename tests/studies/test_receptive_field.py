"""Which part of an input an output depends on: operators whose reach is known, and networks."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from medssm.kernels import use_backend
from medssm.models import fresh_model
from medssm.models.group_mamba import ORDERS
from medssm.models.mamband import scan_order
from medssm.models.mixer import ScanOrder
from medssm.studies.grid_operators import KEPT, fusion, scan, stacked, states, wavefront
from medssm.studies.receptive_field import OUTSIDE, effective_size, fields_figure, receptive_field


def reached(mixing, shape: tuple[int, ...], place: tuple[int, ...]) -> np.ndarray:
    return receptive_field(mixing, (1, *shape), place).numpy() > 0


def visited_before(order: ScanOrder, shape: tuple[int, ...], place: tuple[int, ...]) -> np.ndarray:
    """By comparing places as a scan would meet them, the slowest axis first: True for `place` and all before it."""
    found = np.zeros(shape, bool)
    for other in np.ndindex(shape):
        here, there = ([where[axis] for axis in order.axes] for where in (place, other))
        found[other] = there >= here if order.reverse else there <= here
    return found


@pytest.mark.parametrize("order", [*ORDERS, *(scan_order(block, 2) for block in range(4))])
def test_a_scan_hears_of_the_tokens_that_it_visited_before(order: ScanOrder) -> None:
    shape, place = (4, 5), (1, 3)
    np.testing.assert_array_equal(reached(scan(order), shape, place), visited_before(order, shape, place))


@pytest.mark.parametrize("block", range(6))
def test_a_scan_of_a_volume_does_so_too(block: int) -> None:
    shape, place, order = (3, 4, 2), (1, 2, 0), scan_order(block, 3)
    np.testing.assert_array_equal(reached(scan(order), shape, place), visited_before(order, shape, place))


def test_a_scan_forgets_by_the_same_share_in_every_step() -> None:
    field = receptive_field(scan(ScanOrder((0,), reverse=False)), (1, 7), (6,))
    expected = [KEPT**steps for steps in range(6, -1, -1)]
    np.testing.assert_allclose(field, expected, rtol=1e-5)


def test_a_scan_and_its_reverse_hear_of_all_tokens() -> None:
    there, back = scan(scan_order(0, 2)), scan(scan_order(1, 2))
    assert reached(stacked(there, back), (4, 5), (1, 3)).all()
    assert not reached(stacked(there, there), (4, 5), (1, 3)).all()
    y, x = stacked(there, back)(ones := torch.ones(1, 1, 2, 3)), ones + there(ones)
    torch.testing.assert_close(y, x + back(x))


def test_the_wavefront_hears_of_the_rectangle_to_the_upper_left() -> None:
    found = reached(wavefront(), (4, 5), (2, 3))
    expected = np.zeros((4, 5), bool)
    expected[:3, :4] = True
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(reached(wavefront(reverse=True), (4, 5), (1, 1)), expected[::-1, ::-1])


def test_the_fusion_alone_has_three_times_nine_taps() -> None:
    """At distances 1, 3 and 5; three fall on the cell itself."""
    field = receptive_field(fusion, (1, 13, 13), (6, 6))
    expected = np.zeros((13, 13))
    for distance in (1, 3, 5):
        for i in (-distance, 0, distance):
            for j in (-distance, 0, distance):
                expected[6 + i, 6 + j] += 1
    np.testing.assert_allclose(field, expected, atol=1e-6)
    assert np.count_nonzero(expected) == 25


def test_taps_beyond_the_border_fall_on_it() -> None:
    field = receptive_field(fusion, (1, 5, 6), (0, 4))
    expected = np.zeros((5, 6))
    for distance in (1, 3, 5):
        for i in (-distance, 0, distance):
            for j in (-distance, 0, distance):
                expected[np.clip(0 + i, 0, 4), np.clip(4 + j, 0, 5)] += 1
    np.testing.assert_allclose(field, expected, atol=1e-6)


def test_fused_states_hear_of_rows_that_the_scan_has_not_come_to() -> None:
    shape, place = (11, 11), (5, 5)
    rows_above = reached(states(), shape, place)
    np.testing.assert_array_equal(rows_above, visited_before(ScanOrder((0, 1), reverse=False), shape, place))
    last = (10, 10)  # a tap at distance 5 of a scan that has come this far
    both = reached(lambda x: fusion(states()(x)), shape, place)
    np.testing.assert_array_equal(both, visited_before(ScanOrder((0, 1), reverse=False), shape, last))


@pytest.mark.parametrize("mixing", [scan(ORDERS[1]), wavefront(), lambda x: fusion(states()(x))])
def test_the_fast_kernels_reach_what_the_equations_reach(mixing) -> None:
    field = receptive_field(mixing, (1, 4, 5))
    with use_backend("reference"):
        torch.testing.assert_close(field, receptive_field(mixing, (1, 4, 5)))


def test_the_field_of_a_convolution_is_the_norm_of_its_weights() -> None:
    """Over the output's channels, and the root mean square over the input's."""
    torch.manual_seed(0)
    convolution = nn.Conv2d(2, 3, 3, padding=1)
    field = receptive_field(convolution, (2, 5, 5), (2, 2), samples=600)
    expected = convolution.weight.detach().square().sum(0).mean(0).sqrt()
    torch.testing.assert_close(field[1:4, 1:4], expected, rtol=0.1, atol=0)
    assert field.count_nonzero() == 9


def test_a_norm_over_the_channels_does_not_hide_the_field() -> None:
    """Their plain sum is constant there, and its gradient nothing but rounding."""
    torch.manual_seed(0)
    convolution, norm = nn.Conv2d(1, 8, 3, padding=1), nn.LayerNorm(8)

    def network(x: torch.Tensor) -> torch.Tensor:
        return norm(convolution(x).movedim(1, -1)).movedim(-1, 1)

    x = torch.randn(1, 1, 5, 5, requires_grad=True)
    [of_the_sum] = torch.autograd.grad(network(x)[..., 2, 2].sum(), x)
    field = receptive_field(network, (1, 5, 5))
    assert of_the_sum.abs().max() < 1e-5
    assert field[1:4, 1:4].min() > 1e-3


def test_the_last_of_several_maps_is_taken_at_its_middle() -> None:
    def pyramid(x: torch.Tensor) -> list[torch.Tensor]:
        return [x, functional.avg_pool2d(x, 2)]

    field = receptive_field(pyramid, (1, 8, 8))
    expected = torch.zeros(8, 8)
    expected[4:6, 4:6] = 0.25
    torch.testing.assert_close(field, expected)


def test_a_network_is_left_as_it_was() -> None:
    network = fresh_model("spatialmamba-xs", features_only=True)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    field = receptive_field(network, (3, 32, 32))
    assert field.shape == (32, 32)
    assert network.training
    assert all(parameter.grad is None for parameter in network.parameters())
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    torch.testing.assert_close(field, receptive_field(network, (3, 32, 32)))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_network_on_a_gpu_has_the_field_that_it_has_on_the_cpu() -> None:
    torch.manual_seed(0)
    network = fresh_model("spatialmamba-xs", features_only=True)
    on_cpu, on_gpu = (receptive_field(network.to(device), (3, 32, 32)) for device in ("cpu", "cuda"))
    assert on_gpu.device == on_cpu.device
    assert effective_size(on_gpu) == pytest.approx(effective_size(on_cpu), rel=0.05)  # convolutions are in TF32


def test_the_size_of_a_gaussian_field_is_that_of_two_standard_deviations() -> None:
    """Where exp(-r^2 / 2 s^2) is above the threshold lies a disc; its area's root is the size."""
    deviation = 12.0
    axis = torch.arange(-60.0, 61)
    field = torch.exp(-(axis[:, None] ** 2 + axis**2) / (2 * deviation**2))
    radius = deviation * np.sqrt(2 * np.log(1 / OUTSIDE))
    assert effective_size(field) == pytest.approx(np.sqrt(np.pi) * radius, rel=0.01)


def test_the_size_of_a_volumes_field_is_a_side_of_a_cube() -> None:
    field = torch.zeros(6, 6, 6)
    field[1:5, 1:5, 1:5] = 1
    assert effective_size(field) == pytest.approx(4)


def test_the_figure_shows_shares_and_greys_what_is_not_reached() -> None:
    field = torch.tensor([[0.0, 0.001], [1.0, 2.0]])
    figure = fields_figure({"small": field}, numbered=True)
    axes = figure.axes[0]
    drawn = axes.images[0].get_array()
    assert axes.get_title() == "small"
    assert bool(np.ma.getmaskarray(drawn)[0, 0] or np.isnan(drawn[0, 0]))
    np.testing.assert_allclose(np.ma.filled(drawn, np.nan).ravel()[1:], [0.0005, 0.5, 1])
    assert [text.get_text() for text in axes.texts] == ["<1", "50", "100"]


def test_large_fields_are_drawn_in_blocks() -> None:
    field = torch.rand(130, 65)
    drawn = fields_figure({"large": field}).axes[0].images[0].get_array()
    assert drawn.shape == (44, 22)
    blocks = field[:3, :3].mean(), field[129:, 63:].mean()
    assert drawn[0, 0] / drawn[43, 21] == pytest.approx(float(blocks[0] / blocks[1]), rel=1e-5)
