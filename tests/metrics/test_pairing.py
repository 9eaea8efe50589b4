"""Which files are one case: layouts of folders and names that people have, and what is refused."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from medssm.errors import DataError
from medssm.metrics.pairing import label_maps_in, pair, scans_of_cases


def save(path: Path, *labels: int) -> Path:
    """A map of 4 voxels a side with the labels, one in a corner each."""
    array = np.zeros((4, 4, 4), np.uint8)
    array.flat[: len(labels)] = labels
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, np.eye(4)), path)
    return path


def write(root: Path, *names: str) -> None:
    for name in names:
        save(root / f"{name}.nii.gz", 1)


def paired(folder: Path) -> dict[str, tuple[str, str]]:
    """Case -> the two files without their format, below their roots."""
    found = pair(folder / "p", folder / "r").cases
    return {
        case.name: tuple(
            str(files.path.relative_to(folder / side)).removesuffix(".nii.gz")
            for side, files in (("p", case.prediction), ("r", case.reference))
        )
        for case in found
    }  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("prediction", "reference", "case"),
    [
        ("img0035_seg", "label0035", "0035"),
        ("case_001_0000_seg", "case_001", "case_001"),
        ("case_001", "case_001", "case_001"),
        ("BraTS-001-t1n_seg", "BraTS-001-seg", "BraTS-001"),
        ("p1_ct_seg", "p1_gt", "p1"),
        ("liver_0_seg", "liver_0_label", "liver_0"),
        ("case1_seg", "case1_mask", "case1"),
        ("FLARE22_Tr_0001_0000_seg", "FLARE22_Tr_0001", "FLARE22_Tr_0001"),
        ("volume-1_seg", "segmentation-1", "1"),
        ("case_00000_imaging_seg", "case_00000/segmentation", "case_00000"),
        ("pat1/scan_seg", "pat1/gt", "pat1"),
        ("out/img0001_seg", "label0001", "0001"),
        ("Case1_SEG", "Case1_GT", "Case1"),
    ],
)
def test_names_that_mean_one_case_are_paired(tmp_path: Path, prediction: str, reference: str, case: str) -> None:
    write(tmp_path / "p", prediction, "another_seg")
    write(tmp_path / "r", reference, "third_gt")
    assert paired(tmp_path) == {case: (prediction, reference)}


def test_files_of_one_name_belong_to_their_folder(tmp_path: Path) -> None:
    write(tmp_path / "p", "pat0/seg", "pat1/seg", "pat2/seg")
    write(tmp_path / "r", "pat2/seg", "pat1/seg", "pat3/seg")
    assert paired(tmp_path) == {"pat1": ("pat1/seg", "pat1/seg"), "pat2": ("pat2/seg", "pat2/seg")}
    found = pair(tmp_path / "p", tmp_path / "r")
    assert found.without_prediction == [tmp_path / "r" / "pat3" / "seg.nii.gz"]
    assert found.without_reference == [tmp_path / "p" / "pat0" / "seg.nii.gz"]


@pytest.mark.parametrize("name", ["seg", "liver_1"])
def test_one_patients_prediction_is_not_compared_with_anothers_reference(tmp_path: Path, name: str) -> None:
    write(tmp_path / "p", f"pat1/{name}")
    write(tmp_path / "r", f"pat2/{name}")
    with pytest.raises(DataError, match=r"no label map has the name of a case in .*found pat1.*expected pat2"):
        pair(tmp_path / "p", tmp_path / "r")


@pytest.mark.parametrize(
    ("predictions", "references"),
    [
        (("case1_seg", "case1_pred"), ("case1",)),
        (("a/0001_seg", "b/0001_seg"), ("label0001",)),
        (("case1_ct_seg",), ("case1_gt", "case1_label")),
    ],
)
def test_two_files_of_one_case_are_refused(
    tmp_path: Path, predictions: tuple[str, ...], references: tuple[str, ...]
) -> None:
    write(tmp_path / "p", *predictions)
    write(tmp_path / "r", *references)
    with pytest.raises(DataError, match="2 files have the name of case"):
        pair(tmp_path / "p", tmp_path / "r")


def test_modalities_are_cases_of_their_own_where_both_sides_name_them(tmp_path: Path) -> None:
    write(tmp_path / "p", "amos_1_ct_seg", "amos_1_mr_seg")
    write(tmp_path / "r", "amos_1_ct", "amos_1_mr")
    assert paired(tmp_path) == {m: (f"{m}_seg", m) for m in ("amos_1_ct", "amos_1_mr")}


def test_scans_and_probabilities_beside_label_maps_are_no_predictions(tmp_path: Path) -> None:
    write(tmp_path / "p", "case1", "case1_seg", "case1_prob")
    write(tmp_path / "r", "kits/imaging", "kits/segmentation", "case1")
    found = pair(tmp_path / "p", tmp_path / "r")
    assert [case.prediction.path.name for case in found.cases] == ["case1_seg.nii.gz"]
    assert found.without_reference == []
    assert found.without_prediction == [tmp_path / "r" / "kits" / "segmentation.nii.gz"]


def test_two_files_are_one_case_whatever_their_names(tmp_path: Path) -> None:
    [case] = pair(save(tmp_path / "a.nii.gz", 1), save(tmp_path / "other" / "b_gt.nii.gz", 1)).cases
    assert (case.name, case.prediction.path.name) == ("b", "a.nii.gz")


def test_a_folder_with_a_file_of_each_organ_is_one_case(tmp_path: Path) -> None:
    write(tmp_path / "r", *(f"s{n}/segmentations/{organ}" for n in (1, 2) for organ in ("liver", "rib_left_1")))
    write(tmp_path / "r", "s1/ct", "s2/ct")
    write(tmp_path / "p", "s1_seg", "s2/ct_seg")
    found = pair(tmp_path / "p", tmp_path / "r")
    assert [(case.name, len(case.reference.masks)) for case in found.cases] == [("s1", 2), ("s2", 2)]
    assert (found.without_prediction, found.without_reference) == ([], [])


def test_names_that_come_again_in_other_folders_are_organs_where_the_maps_are_binary(tmp_path: Path) -> None:
    write(tmp_path / "binary", *(f"pat{n}/structures/{organ}" for n in (1, 2) for organ in ("A3", "B7")))
    assert [len(files.masks) for files in label_maps_in(tmp_path / "binary")] == [2, 2]
    for name in ("pat1/pre", "pat1/post", "pat2/pre", "pat2/post"):
        save(tmp_path / "visits" / f"{name}.nii.gz", 1, 2)
    assert [files.case for files in label_maps_in(tmp_path / "visits")] == [
        "pat1/post",
        "pat1/pre",
        "pat2/post",
        "pat2/pre",
    ]


def test_scans_are_found_by_the_names_of_cases(tmp_path: Path) -> None:
    write(tmp_path, "img0035", "img0035_seg", "pat1/scan_0000", "case_2_ct")
    found = scans_of_cases(tmp_path, ["0035", "pat1", "case_2", "gone"])
    assert {case: str(path.relative_to(tmp_path)) for case, path in found.items()} == {
        "0035": "img0035.nii.gz",
        "case_2": "case_2_ct.nii.gz",
        "pat1": "pat1/scan_0000.nii.gz",
    }


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    write(tmp_path / "r", "case1")
    with pytest.raises(FileNotFoundError, match="gone"):
        pair(tmp_path / "gone", tmp_path / "r")
