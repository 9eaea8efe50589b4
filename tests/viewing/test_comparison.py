"""The picture of a prediction beside its reference."""

import numpy as np
import pytest

from medssm.data.scans.organs import AGREEMENT, DIFFERENT, ONLY_LEFT, ONLY_RIGHT, colour_of
from medssm.data.scans.volume import Volume
from medssm.viewing.comparison import agreement_figure
from medssm.viewing.panels import LABEL_OPACITY


def blocks() -> tuple[Volume, np.ndarray, np.ndarray]:
    """A scan of black; the two maps agree on a block, each has one alone, and one block is two organs."""
    prediction, reference = (np.zeros((30, 30, 12), np.int32) for _ in range(2))
    prediction[2:8, 2:8, 4:8] = reference[2:8, 2:8, 4:8] = 6
    prediction[12:20, 2:8, 5] = 1
    reference[2:8, 12:24, 5] = 2
    prediction[20:26, 20:26, 5], reference[20:26, 20:26, 5] = 3, 4
    return Volume(np.zeros(prediction.shape), np.diag([2.0, 2.0, 3.0, 1.0])), prediction, reference


def painted(picture: np.ndarray, colour: tuple[int, int, int]) -> float:
    """The share of a panel that has a colour, outline or see-through on black."""
    inside = np.round(np.multiply(colour, LABEL_OPACITY))
    return float(((picture == colour) | (abs(picture - inside) <= 1)).all(axis=-1).mean())


def test_rows_are_reference_prediction_and_agreement_through_the_largest_error() -> None:
    figure = agreement_figure(*blocks(), {1: "spleen", 6: "liver"}, window=(0, 1))
    titles = [axes.texts[4].get_text() for axes in figure.axes]
    kinds = ("reference", "prediction", "agreement")
    assert [title.split(",")[0] for title in titles] == [kind for kind in kinds for _ in range(3)]
    assert titles[0] == "reference, axial 6"
    assert len(figure.axes) == 9
    legend = [text.get_text() for text in figure.texts]
    organs = ["spleen", "label 2", "label 3", "label 4", "liver"]
    assert legend[:10] == [*organs, "agreement:", "both", "only the prediction", "only the reference", "another organ"]


@pytest.mark.parametrize(
    ("panel", "colour", "area"),
    [
        (0, colour_of(6), 36),
        (0, colour_of(1), 0),
        (0, colour_of(2), 72),
        (3, colour_of(1), 48),
        (3, colour_of(4), 0),
        (6, AGREEMENT, 36),
        (6, ONLY_LEFT, 48),
        (6, ONLY_RIGHT, 72),
        (6, DIFFERENT, 36),
    ],
)
def test_areas_of_the_drawn_colours_are_those_of_the_labels(panel: int, colour, area: int) -> None:
    figure = agreement_figure(*blocks(), {}, window=(0, 1))
    picture = np.asarray(figure.axes[panel].images[0].get_array()).astype(float)
    assert painted(picture, colour) == pytest.approx(area / 900, abs=0.004)


def test_a_perfect_prediction_shows_the_largest_slice_and_no_error() -> None:
    volume, prediction, _ = blocks()
    figure = agreement_figure(volume, prediction, prediction, {})
    assert figure.axes[0].texts[4].get_text() == "reference, axial 6"
    picture = np.asarray(figure.axes[6].images[0].get_array()).astype(float)
    assert painted(picture, AGREEMENT) > 0.1
    assert [painted(picture, colour) for colour in (ONLY_LEFT, ONLY_RIGHT, DIFFERENT)] == [0, 0, 0]


def test_empty_maps_are_drawn() -> None:
    volume, prediction, _ = blocks()
    assert len(agreement_figure(volume, 0 * prediction, 0 * prediction, {}).axes) == 9
