"""What is done to the values of each channel, against plain derivations."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from medssm.data.scans.channels import (
    Channel,
    CTStandardised,
    Normalisation,
    Percentile,
    Unchanged,
    Window,
    ZScore,
    air_level,
)
from medssm.data.scans.plausibility import summarise_values
from medssm.data.scans.preprocessing import Preprocessing


def mr(unit: float = 1.0) -> np.ndarray:
    """Dark noise around a ball of tissue of two kinds, (24, 24, 24) float64."""
    rng = np.random.default_rng(3)
    distance = np.linalg.norm(np.indices((24, 24, 24)) - 11.5, axis=0)
    values = np.where(distance < 5, 900.0, np.where(distance < 9, 500.0, 20.0))
    return unit * (values + rng.normal(0, 8, values.shape))


def applied(normalisation: Normalisation, array: np.ndarray) -> np.ndarray:
    mapped = normalisation.fitted(summarise_values(array))
    return mapped.applied(torch.from_numpy(array.astype(np.float32))).numpy()


def test_air_is_below_all_tissue_whatever_the_unit() -> None:
    for unit in (1.0, 1e-3, 1e4):
        assert 60 * unit < air_level(summarise_values(mr(unit))) < 450 * unit


def test_what_a_brain_was_cut_out_of_is_air_and_its_dark_tissue_is_not() -> None:
    array = np.where(mr() > 200, mr() - 495, 0.0)
    array[array < 0] = 1.0
    assert air_level(summarise_values(array)) == 0.0


@pytest.mark.parametrize("unit", [1.0, 1e-3, 1e4])
def test_a_z_score_is_of_the_body_whatever_the_unit(unit: float) -> None:
    array = mr(unit)
    body = array > 200 * unit
    found = applied(ZScore(), array)
    np.testing.assert_allclose(found, (array - array[body].mean()) / array[body].std(), atol=1e-3)


def test_percentiles_are_those_of_the_body() -> None:
    array = mr()
    low, high = np.percentile(array[array > 200], (5, 95))
    expected = np.clip((array - low) / (high - low), 0, 1)
    np.testing.assert_allclose(applied(Percentile(lower=5, upper=95), array), expected, atol=1e-5)


def test_a_standardised_ct_is_clipped_before_its_mean_is_taken_off() -> None:
    array = np.linspace(-1000, 1000, 64).reshape(4, 4, 4)
    expected = (np.clip(array, -100, 300) - 60) / 80
    np.testing.assert_allclose(applied(CTStandardised(low=-100, high=300, mean=60, sd=80), array), expected, atol=1e-6)


def test_unchanged_values_are_unchanged() -> None:
    np.testing.assert_array_equal(applied(Unchanged(), mr()), mr().astype(np.float32))


@pytest.mark.parametrize("normalisation", [ZScore(), Percentile(), CTStandardised(low=-9, high=9, mean=0, sd=1)])
def test_what_is_no_number_becomes_the_lowest_value(normalisation: Normalisation) -> None:
    array = mr()
    array[0, 0, 0], array[0, 0, 1] = np.nan, np.inf
    found = applied(normalisation, array)
    assert np.isfinite(found).all()
    assert found[0, 0, 0] == found.min()


def test_a_scan_of_one_value_stays_finite() -> None:
    for normalisation in (ZScore(), Percentile()):
        assert np.isfinite(applied(normalisation, np.full((3, 3, 3), 7.0))).all()


def test_one_range_of_values_is_the_window_of_every_channel() -> None:
    two = [{"name": "T1", "normalisation": {"kind": "zscore"}}, {"name": "T2", "normalisation": {"kind": "zscore"}}]
    assert Preprocessing(intensity=(-100, 300)).channels == (
        Channel(name="CT", normalisation=Window(low=-100, high=300)),
    )
    changed = Preprocessing.model_validate({"channels": two, "intensity": [0, 9]})
    assert changed.channel_names == ("T1", "T2")
    assert changed.windows == ((0, 9), (0, 9))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"intensity": [3, 3]}, "low must be below high"),
        ({"intensity": 3}, "must be a range of values"),
        ({"channels": []}, "at least 1"),
        ({"channels": [{"name": "T1", "normalisation": {"kind": "percentile", "lower": 60, "upper": 50}}]}, "below"),
        ({"channels": [{"name": "T1", "normalisation": {"kind": "sharpen"}}]}, "sharpen"),
    ],
)
def test_an_impossible_normalisation_is_refused(content: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Preprocessing.model_validate(content)
