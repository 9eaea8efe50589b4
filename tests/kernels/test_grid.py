"""Visiting orders, against nested loops."""

import itertools

import pytest
import torch

from medssm.kernels.errors import ShapeError
from medssm.kernels.grid import Grid, make_grid

CPU = torch.device("cpu")


@pytest.mark.parametrize("axes", list(itertools.permutations(range(3))), ids=str)
@pytest.mark.parametrize("reverse", list(itertools.product((False, True), repeat=3)), ids=str)
def test_visits_are_those_of_nested_loops(axes: tuple[int, ...], reverse: tuple[bool, ...]) -> None:
    shape = (2, 3, 4)
    walks = [range(n - 1, -1, -1) if r else range(n) for n, r in zip(shape, reverse, strict=True)]
    expected = []
    for steps in itertools.product(*(walks[a] for a in axes)):
        place = dict(zip(axes, steps, strict=True))
        expected.append((place[0] * 3 + place[1]) * 4 + place[2])
    assert Grid(shape, axes, reverse).visits(CPU).tolist() == expected


def test_one_bool_reverses_the_whole_sequence() -> None:
    forward = make_grid(24, (2, 3, 4), (2, 0, 1), False).visits(CPU)
    assert torch.equal(make_grid(24, (2, 3, 4), (2, 0, 1), True).visits(CPU), forward.flip(0))


def test_only_the_order_of_memory_is_the_identity() -> None:
    assert make_grid(6, (2, 3), None, False).is_identity
    assert not make_grid(6, (2, 3), (1, 0), False).is_identity
    assert not make_grid(6, (2, 3), (0, 1), (False, True)).is_identity


def test_a_wrong_shape_is_named() -> None:
    with pytest.raises(ShapeError, match="holds 6 tokens"):
        make_grid(7, (2, 3), None, False)
