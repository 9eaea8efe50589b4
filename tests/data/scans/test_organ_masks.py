"""Masks of organs, a file each, as one label map."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from medssm.data.scans.organ_masks import folded, read_organ_masks
from medssm.data.scans.volume import Volume, write_label_map
from medssm.errors import DataError, GeometryError
from medssm.metrics import evaluate

AFFINE = np.diag([2.0, 2.0, 3.0, 1.0])


def save(path: Path, planes: slice, value: int = 1, affine: np.ndarray = AFFINE) -> Path:
    mask = np.zeros((10, 8, 6), np.uint8)
    mask[planes] = value
    path.parent.mkdir(exist_ok=True)
    nib.save(nib.Nifti1Image(mask, affine), path)
    return path


def test_masks_become_labels_in_their_order_with_the_names_of_the_files(tmp_path: Path) -> None:
    files = [save(tmp_path / "liver.nii.gz", slice(0, 3)), save(tmp_path / "kidney_left.nii.gz", slice(5, 7), 255)]
    found = read_organ_masks(files)
    np.testing.assert_array_equal(found.as_one()[:, 0, 0], [1, 1, 1, 0, 0, 2, 2, 0, 0, 0])
    assert found.names == {1: "liver", 2: "kidney_left"}
    write_label_map(tmp_path / "one.nii.gz", found.as_one(), Volume(found.as_one(), found.affine), found.names)
    assert evaluate(tmp_path / "one.nii.gz", tmp_path / "one.nii.gz").summary[0].organ == "liver"


def test_a_mask_whose_axes_run_another_way_is_turned(tmp_path: Path) -> None:
    first = save(tmp_path / "liver.nii.gz", slice(0, 3))
    other = save(tmp_path / "spleen.nii.gz", slice(8, 10))
    turned = nib.load(other).as_reoriented(np.array([[2, -1], [0, 1], [1, -1]]))
    nib.save(turned, other)
    np.testing.assert_array_equal(read_organ_masks([first, other]).as_one()[:, 0, 0], [1, 1, 1, 0, 0, 0, 0, 0, 2, 2])


def test_masks_that_overlap_are_scored_whole_and_no_label_map(tmp_path: Path) -> None:
    for side, end in (("p", 8), ("r", 6)):
        save(tmp_path / side / "liver.nii.gz", slice(0, 9))
        save(tmp_path / side / "tumour.nii.gz", slice(4, end))
    outcome = evaluate(tmp_path / "p", tmp_path / "r")
    assert {score.organ: score.dice for score in outcome.scores} == {"liver": 1.0, "tumour": 2 * 2 / (4 + 2)}
    assert [score.reference_ml for score in outcome.scores] == pytest.approx([9 * 48 * 0.012, 2 * 48 * 0.012])
    with pytest.raises(DataError, match="masks overlap"):
        read_organ_masks(sorted((tmp_path / "p").iterdir())).as_one()


def test_masks_on_two_grids_and_masks_of_several_labels_are_refused(tmp_path: Path) -> None:
    first = save(tmp_path / "liver.nii.gz", slice(0, 3))
    moved = save(tmp_path / "moved.nii.gz", slice(0, 3), affine=AFFINE + np.eye(4)[:, [3, 0, 1, 2]] * 0.5)
    with pytest.raises(GeometryError, match="not on one grid"):
        read_organ_masks([first, moved])
    labels = np.arange(480).reshape(10, 8, 6).astype(np.uint16)
    nib.save(nib.Nifti1Image(labels, AFFINE), tmp_path / "many.nii.gz")
    with pytest.raises(DataError, match=r"many.nii.gz: holds several labels"):
        read_organ_masks([first, tmp_path / "many.nii.gz"])


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("kidney_left", "Left Kidney", True),
        ("adrenal_gland_right", "right adrenal gland", True),
        ("left kidney", "right kidney", False),
        ("vertebrae_L1", "vertebrae_L2", False),
    ],
)
def test_spellings_of_one_name_are_one(first: str, second: str, same: bool) -> None:
    assert (folded(first) == folded(second)) == same
