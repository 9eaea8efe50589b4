"""Values of label maps beside what numpy says of the whole array."""

import numpy as np
import pytest

from medssm.data.scans import label_values
from medssm.data.scans.label_values import label_array, label_counts, renumbered
from medssm.data.scans.volume import Volume


@pytest.fixture(autouse=True)
def many_slabs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_values, "SLAB_VOXELS", 100)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.uint32, np.uint64])
@pytest.mark.parametrize("order", ["C", "F", "turned"])
def test_values_are_counted_and_renumbered_slab_by_slab(kind: type, order: str) -> None:
    high = np.iinfo(kind).max
    values = np.array([0, 1, 7, high - 1, high], kind)
    whole = np.random.default_rng(0).choice(values, (13, 7, 11))
    labels = whole.transpose(2, 0, 1)[::-1] if order == "turned" else np.asarray(whole, order=order)  # type: ignore[call-overload]
    assert label_counts(labels) == dict(
        zip(*(part.tolist() for part in np.unique(labels, return_counts=True)), strict=True)
    )
    numbers = {7: 3, int(high): 300, 5: 9}
    expected = np.select([labels == 7, labels == high], [3, 300], 0)
    np.testing.assert_array_equal(renumbered(labels, numbers), expected)


@pytest.mark.parametrize("kind", [np.int16, np.int32, np.int64])
def test_whole_numbers_are_not_copied(kind: type) -> None:
    array = np.arange(60, dtype=kind).reshape(3, 4, 5)
    labels, notes = label_array(Volume(array, np.eye(4)))
    np.testing.assert_array_equal(labels, array)
    assert np.shares_memory(labels, array)
    assert notes == ()
