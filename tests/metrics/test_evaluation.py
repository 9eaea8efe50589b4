"""Evaluation of files: pairing, geometry, names, and what is written."""

import csv
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from medssm.data.scans.organs import BTCV_ORGANS
from medssm.data.scans.volume import read_volume, write_label_map
from medssm.errors import DataError, GeometryError
from medssm.metrics import evaluate

AFFINE = np.diag([1.5, 1.5, 2.0, 1.0])


def save(path: Path, label: int = 6, shift: int = 0, affine: np.ndarray = AFFINE) -> Path:
    labels = np.zeros((12, 12, 12), np.uint8)
    labels[3 + shift : 9, 3:9, 3:9] = label
    path.parent.mkdir(exist_ok=True)
    nib.save(nib.Nifti1Image(labels, affine), path)
    return path


def test_folders_are_paired_by_case(tmp_path: Path) -> None:
    for number in (35, 36):
        save(tmp_path / "labels" / f"label00{number}.nii.gz")
    save(tmp_path / "out" / "img0035_seg.nii.gz", shift=3)
    save(tmp_path / "out" / "img0040_seg.nii.gz")
    outcome = evaluate(tmp_path / "out", tmp_path / "labels", names=BTCV_ORGANS)
    assert [path.name for path in outcome.without_prediction] == ["label0036.nii.gz"]
    assert [path.name for path in outcome.without_reference] == ["img0040_seg.nii.gz"]
    liver = next(row for row in outcome.summary if row.organ == "liver")
    assert liver.dice.mean == pytest.approx(2 * 108 / (108 + 216))


def test_names_in_the_prediction_are_used(tmp_path: Path) -> None:
    reference = save(tmp_path / "reference.nii.gz", label=40)
    like = read_volume(reference)
    write_label_map(tmp_path / "prediction.nii.gz", np.asarray(like.array), like, {40: "tumour"})
    assert next(row.organ for row in evaluate(tmp_path / "prediction.nii.gz", reference).summary) == "tumour"


def test_unknown_labels_are_numbered(tmp_path: Path) -> None:
    paths = [save(tmp_path / f"{name}.nii.gz", label=40) for name in "ab"]
    assert evaluate(*paths).scores[0].organ == "label 40"


def test_grids_that_differ_are_refused(tmp_path: Path) -> None:
    moved = AFFINE.copy()
    moved[0, 3] = 2.0
    reference, prediction = save(tmp_path / "r.nii.gz"), save(tmp_path / "p.nii.gz", affine=moved)
    with pytest.raises(GeometryError, match="2 mm apart"):
        evaluate(prediction, reference)


def test_rounding_of_an_affine_is_no_difference(tmp_path: Path) -> None:
    prediction = save(tmp_path / "p.nii.gz", affine=AFFINE + 1e-7)
    assert evaluate(prediction, save(tmp_path / "r.nii.gz")).summary[-1].dice.mean == 1.0


def test_reference_whose_axes_run_another_way_is_turned(tmp_path: Path) -> None:
    prediction = save(tmp_path / "p.nii.gz", shift=2)
    turned = nib.as_closest_canonical(nib.load(prediction)).as_reoriented(np.array([[2, -1], [0, 1], [1, -1]]))
    nib.save(turned, tmp_path / "r.nii.gz")
    assert nib.aff2axcodes(turned.affine) != nib.aff2axcodes(AFFINE)
    assert evaluate(prediction, tmp_path / "r.nii.gz").summary[-1].dice.mean == 1.0


def test_folders_without_a_common_case_are_refused(tmp_path: Path) -> None:
    save(tmp_path / "a" / "x.nii.gz")
    save(tmp_path / "b" / "y.nii.gz")
    with pytest.raises(DataError, match="no label map has the name of a case"):
        evaluate(tmp_path / "a", tmp_path / "b")


def test_an_image_is_no_label_map(tmp_path: Path) -> None:
    image = tmp_path / "image.nii.gz"
    nib.save(nib.Nifti1Image(np.linspace(0, 1, 1728).reshape(12, 12, 12), AFFINE), image)
    with pytest.raises(DataError, match="no whole numbers"):
        evaluate(image, save(tmp_path / "r.nii.gz"))


def test_files_hold_the_scores(tmp_path: Path) -> None:
    outcome = evaluate(save(tmp_path / "p.nii.gz", shift=3), save(tmp_path / "r.nii.gz"), names=BTCV_ORGANS)
    outcome.write_csv(tmp_path / "scores.csv")
    outcome.write_json(tmp_path / "scores.json")
    rows = list(csv.DictReader((tmp_path / "scores.csv").open()))
    liver = next(row for row in rows if row["organ"] == "liver")
    assert float(liver["dice"]) == pytest.approx(2 / 3)
    assert next(row for row in rows if row["organ"] == "spleen")["dice"] == ""
    written = json.loads((tmp_path / "scores.json").read_text(encoding="utf-8"))
    assert written["summary"][-1]["dice"]["mean"] == pytest.approx(2 / 3)
    assert written["summary"][0]["absent"] == 1
