"""When a scan comes to each token: counted by the operator, held to loops over the axes."""

import numpy as np
import pytest
from matplotlib.colors import to_hex
from mpl_toolkits.mplot3d.art3d import Line3D

from medssm.models.group_mamba import ORDERS
from medssm.models.mamband import scan_order
from medssm.models.mixer import ScanOrder
from medssm.studies.scan_orders import numbers_figure, path, visit_numbers, volumes_figure, wavefront_numbers


def numbered_by_loops(order: ScanOrder, shape: tuple[int, ...]) -> np.ndarray:
    """Nested loops, the slowest axis outermost, that number the tokens as they come."""
    numbers = np.zeros(shape, int)
    steps = list(np.ndindex(*(shape[axis] for axis in order.axes)))
    for number, step in enumerate(steps[::-1] if order.reverse else steps, start=1):
        place = dict(zip(order.axes, step, strict=True))
        numbers[tuple(place[axis] for axis in range(len(shape)))] = number
    return numbers


@pytest.mark.parametrize("order", [*ORDERS, *(scan_order(block, 2) for block in range(4))])
def test_orders_of_images(order: ScanOrder) -> None:
    np.testing.assert_array_equal(visit_numbers(order, (3, 4)), numbered_by_loops(order, (3, 4)))


@pytest.mark.parametrize("block", range(6))
def test_orders_of_volumes(block: int) -> None:
    order = scan_order(block, 3)
    np.testing.assert_array_equal(visit_numbers(order, (2, 3, 4)), numbered_by_loops(order, (2, 3, 4)))


def test_the_groups_of_groupmamba_start_in_two_corners() -> None:
    """Along rows and along columns, from the first token and from the last."""
    first = [np.unravel_index(visit_numbers(order, (3, 4)).argmin(), (3, 4)) for order in ORDERS]
    second = [np.argwhere(visit_numbers(order, (3, 4)) == 2)[0].tolist() for order in ORDERS]
    assert first == [(0, 0), (0, 0), (2, 3), (2, 3)]
    assert second == [[0, 1], [1, 0], [2, 2], [1, 3]]


@pytest.mark.parametrize("shape", [(3, 5), (1, 4), (6, 6)])
def test_the_wavefront_is_one_antidiagonal_a_step(shape: tuple[int, int]) -> None:
    row, column = np.indices(shape)
    np.testing.assert_array_equal(wavefront_numbers(shape), row + column + 1)
    np.testing.assert_array_equal(wavefront_numbers(shape, reverse=True), (row + column + 1)[::-1, ::-1])


def test_the_path_follows_the_numbers() -> None:
    numbers = np.array([[2, 1], [4, 3]])
    assert path(numbers).tolist() == [[0, 1], [0, 0], [1, 1], [1, 0]]


def test_every_number_stands_in_its_cell_and_points_at_the_next() -> None:
    numbers = visit_numbers(scan_order(2, 2), (2, 3))
    axes = numbers_figure({"columns": numbers}).axes[0]
    labels = [text for text in axes.texts if text.get_text()]
    for label in labels:
        column, row = map(int, label.get_position())
        assert label.get_text() == str(numbers[row, column])
    assert len(labels) == 6
    assert len(axes.texts) - len(labels) == 5  # arrows
    assert not [text for text in numbers_figure({"x": numbers}, arrows=False).axes[0].texts if not text.get_text()]


def test_paths_through_volumes_go_from_the_first_token_to_the_last() -> None:
    numbers = visit_numbers(scan_order(3, 3), (2, 3, 2))
    axes = volumes_figure({"reversed": numbers}).axes[0]
    lines = [line for line in axes.lines if isinstance(line, Line3D)]
    starts = [tuple(int(values[0]) for values in line.get_data_3d()) for line in lines]
    assert starts == [tuple(place) for place in path(numbers)[:-1].tolist()]
    assert starts[0] == (1, 2, 1)
    assert len({to_hex(line.get_color()) for line in lines}) == len(lines)
