"""Statistics of organs, by hand."""

import csv
import json

import numpy as np
import pytest

from medssm.data.scans.volume import Volume, read_volume
from medssm.tasks.segmentation.result import Segmentation
from medssm.tasks.segmentation.statistics import organ_statistics, write_statistics

NAMES = {1: "liver", 2: "spleen", 3: "aorta"}


def example() -> tuple[Volume, np.ndarray]:
    """A liver of two pieces, a spleen at the border, no aorta; voxels of 12 mm^3."""
    array = np.zeros((10, 11, 12), np.int16)
    labels = np.zeros(array.shape, np.uint8)
    labels[2:4, 2:4, 2:4], labels[6, 6, 6] = 1, 1
    labels[0, 5, 5:7] = 2
    array[labels == 1] = [10] * 8 + [100]
    array[labels == 2] = [-3, 5]
    return Volume(array, np.diag([2.0, -2.0, 3.0, 1.0])), labels


def test_every_column() -> None:
    volume, labels = example()
    liver, spleen, aorta = organ_statistics(volume, labels, NAMES, {1: 0.75})
    assert (liver.name, liver.voxels, liver.components, liver.touches_border) == ("liver", 9, 2, False)
    assert liver.volume_ml == pytest.approx(9 * 12 / 1000)
    assert liver.intensity_mean == pytest.approx(20.0)
    assert liver.intensity_sd == pytest.approx(np.std([10] * 8 + [100]))
    assert liver.confidence == 0.75
    assert (spleen.intensity_mean, spleen.intensity_sd) == (pytest.approx(1.0), pytest.approx(4.0))
    assert (spleen.components, spleen.touches_border, spleen.confidence) == (1, True, None)
    assert (aorta.voxels, aorta.volume_ml, aorta.intensity_mean, aorta.components) == (0, 0.0, None, 0)
    assert aorta.touches_border is False


def test_volumes_are_those_of_the_statistics() -> None:
    volume, labels = example()
    assert Segmentation(labels, volume, NAMES).volumes_ml == pytest.approx(
        {"liver": 0.108, "spleen": 0.024, "aorta": 0}
    )


def test_a_sheared_grid_has_the_volume_of_its_cells() -> None:
    volume, labels = example()
    affine = volume.affine.copy()
    affine[1, 2] = 1.5
    row = organ_statistics(Volume(volume.array, affine), labels, NAMES)[0]
    assert row.volume_ml == pytest.approx(0.108)


@pytest.mark.parametrize("order", ["C", "F"])
def test_pieces_are_counted_over_slabs(order: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from scipy import ndimage

    from medssm.tasks.segmentation.pieces import TOUCHING

    monkeypatch.setattr("medssm.data.scans.label_values.SLAB_VOXELS", 200)  # two planes or one
    labels = np.asarray(np.random.default_rng(0).random((9, 10, 11)) < 0.06, np.uint8, order=order)
    labels[0, 0, :] = 1  # a piece of all slabs
    volume = Volume(np.zeros(labels.shape, np.int16), np.eye(4))
    [row] = organ_statistics(volume, labels, {1: "spots"})
    assert row.components == ndimage.label(labels, TOUCHING)[1] > 9


def test_csv_and_json_hold_the_same(tmp_path) -> None:
    volume, labels = example()
    rows = organ_statistics(volume, labels, NAMES, {1: 0.75})
    for suffix in ("csv", "json"):
        write_statistics(tmp_path / f"out.{suffix}", rows, "scan.nii.gz")
    with open(tmp_path / "out.csv") as file:
        table = list(csv.DictReader(file))
    content = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert content["scan"] == "scan.nii.gz"
    for row, entry in zip(table, content["organs"], strict=True):
        assert {key: "" if value is None else str(value) for key, value in entry.items()} == row
    assert content["organs"][0]["intensity_mean"] == 20.0


def test_a_name_is_no_formula_to_a_spreadsheet(tmp_path) -> None:
    write_statistics(tmp_path / "out.csv", organ_statistics(*example(), {1: "=1+1"}), "scan.nii.gz")
    [row] = csv.DictReader((tmp_path / "out.csv").read_text(encoding="utf-8").splitlines())
    assert row["name"] == "'=1+1"


def test_confidence_is_the_mean_probability_of_the_label(make_predictor, plant) -> None:
    volume = plant((20, 21, 22))
    found = make_predictor().predict(volume, confidence=True)
    # The label's score is 0, those at a distance of n classes are -n / 5.
    for label, confidence in found.confidence.items():
        scores = -np.abs(np.arange(6) - label) / 5
        assert confidence == pytest.approx(1 / np.exp(scores).sum(), rel=1e-5)
    assert set(found.confidence) == {1, 2, 3, 4, 5}


@pytest.mark.parametrize("spacing", [(1.5, 1.5, 2.0), (2.5, 1.0, 3.0)])
def test_probabilities_sum_to_one_and_peak_at_the_label(spacing, tmp_path, make_predictor, plant) -> None:
    import nibabel as nib

    volume = plant((20, 21, 22), "LPS")
    predictor = make_predictor(spacing=spacing, crop_foreground=True)
    found = predictor.predict(volume, probabilities=tmp_path / "prob.nii.gz")
    image = nib.load(tmp_path / "prob.nii.gz")
    values = image.get_fdata()
    assert values.shape == (20, 21, 22, 6)
    np.testing.assert_allclose(values.sum(-1), 1, atol=1e-5)
    of_label = np.take_along_axis(values, found.labels[..., None].astype(int), -1)[..., 0]
    np.testing.assert_allclose(of_label, values.max(-1), atol=1e-6)
    np.testing.assert_allclose(image.affine, volume.affine, atol=1e-5)
    assert [path.name for path in tmp_path.iterdir()] == ["prob.nii.gz"]


def test_a_saved_segmentation_reads_back_with_its_names(tmp_path) -> None:
    volume, labels = example()
    Segmentation(labels, volume, NAMES).save(tmp_path / "out.nii.gz")
    read = read_volume(tmp_path / "out.nii.gz")
    np.testing.assert_array_equal(read.array, labels)
    assert read.label_names == NAMES


def test_voxels_that_are_no_number_have_no_part_in_the_mean(tmp_path) -> None:
    volume, labels = example()
    array = volume.array.astype(np.float32)
    array[6, 6, 6], array[labels == 2] = np.nan, np.inf
    rows = organ_statistics(Volume(array, volume.affine), labels, NAMES)
    assert (rows[0].voxels, rows[0].intensity_mean, rows[0].intensity_sd) == (9, 10.0, 0.0)
    assert (rows[1].voxels, rows[1].intensity_mean, rows[1].intensity_sd) == (2, None, None)
    write_statistics(tmp_path / "out.json", rows, "scan.nii.gz")
    assert "NaN" not in (tmp_path / "out.json").read_text()
    assert json.loads((tmp_path / "out.json").read_text())["organs"][1]["intensity_mean"] is None
