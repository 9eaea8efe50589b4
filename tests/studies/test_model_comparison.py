"""Networks side by side: rows hold what the networks are, and the figure what the rows hold."""

import pytest

from medssm.errors import UsageError
from medssm.models.registry import count_parameters
from medssm.studies.model_comparison import HEADINGS, Compared, compare_models, comparison_figure, comparison_table


@pytest.fixture(scope="module")
def rows() -> list[Compared]:
    return compare_models(["spatialmamba-xs"], budget=0.01)


def test_a_row_has_the_size_speed_and_field_of_its_network(rows: list[Compared]) -> None:
    [row] = rows
    assert row.zoo.parameters == count_parameters("spatialmamba-xs")
    assert row.images_per_second is not None
    assert row.images_per_second.median > 0
    assert row.field.shape == (64, 64)
    assert 0.1 < row.seen <= 1


def test_the_table_has_a_cell_for_every_heading(rows: list[Compared]) -> None:
    head, rule, line = comparison_table(rows).splitlines()
    assert {text.count("|") for text in (head, rule, line)} == {len(HEADINGS) + 1}
    assert line.startswith("| `spatialmamba-xs` | Spatial-Mamba | 64x64 | 0.7 | 0.01 |")


def test_the_figure_has_a_bar_of_each_kind(rows: list[Compared]) -> None:
    sizes, speeds, shares = comparison_figure(rows).axes
    assert sizes.patches[0].get_width() == pytest.approx(count_parameters("spatialmamba-xs") / 1e6)
    assert speeds.patches[0].get_width() == pytest.approx(rows[0].images_per_second.median)
    assert shares.patches[0].get_width() == pytest.approx(100 * rows[0].seen)


def test_networks_for_scans_are_refused() -> None:
    with pytest.raises(UsageError, match=r"'mamband-s' is no network for images"):
        compare_models(["mamband-s"])
