"""Folds: as lists give them, and made of patients where they do not; nobody is on both sides."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from medssm.data.layouts.scans.check_lists import check_list
from medssm.data.layouts.scans.dataset import load_dataset
from medssm.data.layouts.scans.splits import patients_of
from medssm.data.scans.cases import ScanCase
from medssm.errors import DataError, UsageError

BTCV_NUMBERS = (*range(1, 11), *range(21, 41))


def write(folder: Path, names: Sequence[str], name: str = "dataset.json", **content: Any) -> Path:
    """A list of images of these names, each with a label map."""
    listed = [{"image": f"{case}.nii.gz", "label": f"{case}_seg.nii.gz"} for case in names]
    for entry in listed:
        for file in entry.values():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).touch()
    (folder / name).write_text(json.dumps({"labels": {"1": "liver"}, "training": listed} | content))
    return folder


def ids(cases: Sequence[ScanCase]) -> set[str]:
    return {case.id for case in cases}


@pytest.mark.parametrize("count", [2, 3, 4, 5, 6, 7, 23])
def test_folds_are_made_so_that_each_case_validates_once(tmp_path: Path, count: int) -> None:
    names = [f"liver_{k}" for k in range(count)]
    write(tmp_path, names)
    folds = [load_dataset(tmp_path, fold) for fold in range(min(count, 5))]
    assert sorted(id for fold in folds for id in ids(fold.validation)) == sorted(names)
    assert all(ids(fold.training) | ids(fold.validation) == set(names) for fold in folds)
    sizes = [len(fold.validation) for fold in folds]
    assert max(sizes) - min(sizes) <= 1
    assert load_dataset(tmp_path) == folds[0]
    with pytest.raises(UsageError, match=f"has the folds 0 to {len(folds) - 1}; fold {len(folds)} is none of them"):
        load_dataset(tmp_path, len(folds))


def test_folds_do_not_depend_on_the_order_of_the_list(tmp_path: Path) -> None:
    names = [f"liver_{k}" for k in range(9)]
    forwards = [ids(load_dataset(write(tmp_path / "a", names), fold).validation) for fold in range(5)]
    backwards = [ids(load_dataset(write(tmp_path / "b", names[::-1]), fold).validation) for fold in range(5)]
    assert forwards == backwards


def test_scans_of_one_patient_stay_together(tmp_path: Path) -> None:
    write(tmp_path, [f"training/patient{p:03}/patient{p:03}_frame{f:02}" for p in range(1, 7) for f in (1, 12)])
    for fold in range(5):
        dataset = load_dataset(tmp_path, fold)
        patients = patients_of(dataset.cases)
        sides = [{patients[id] for id in ids(part)} for part in (dataset.training, dataset.validation)]
        assert not sides[0] & sides[1]
        assert sides[0] | sides[1] == {f"patient{p:03}" for p in range(1, 7)}


def test_a_patient_that_the_list_names_goes_before_the_names_of_files(tmp_path: Path) -> None:
    listed = [{"image": f"{k}.nii", "label": f"{k}_seg.nii", "patient": "ab"[k % 2]} for k in range(6)]
    write(tmp_path, [], training=listed)
    for entry in listed:
        (tmp_path / entry["image"]).touch()
        (tmp_path / entry["label"]).touch()
    assert {frozenset(ids(load_dataset(tmp_path, fold).validation)) for fold in (0, 1)} == {
        frozenset("024"),
        frozenset("135"),
    }


@pytest.mark.parametrize(
    ("names", "patients"),
    [
        (["patient001_frame01", "patient001_frame12", "patient002_frame01"], ["patient001"] * 2 + ["patient002"]),
        (["sub-01_ses-1_T1w", "sub-01_ses-2_T1w", "sub-02_T1w"], ["sub-01"] * 2 + ["sub-02"]),
        (
            ["BraTS-GLI-00005-000", "BraTS-GLI-00005-001", "BraTS-GLI-00006-000"],
            ["BraTS-GLI-00005"] * 2 + ["BraTS-GLI-00006"],
        ),
        (["10000_1000000", "10000_1000001", "10001_1000002"], ["10000"] * 2 + ["10001"]),
        (["A0S9V9_ED", "A0S9V9_ES", "B1_ED"], ["A0S9V9"] * 2 + ["B1"]),
        (["ct_scan_001", "ct_scan_002"], [None, None]),
        (["2021_001", "2021_002"], [None, None]),
        (["liver_1", "liver_2", "img0001"], [None] * 3),
        (["amos_0001", "BraTS2021_00000", "case_00000", "hippocampus_001", "s0001", "la_003"], [None] * 6),
        (["p1/ct", "p2/ct"], ["p1", "p2"]),
        (["p1/early", "p1/late", "p2/early"], ["p1", "p1", "p2"]),
    ],
)
def test_patients_are_told_by_names(names: list[str], patients: list[str | None]) -> None:
    cases = [ScanCase(name, Path("imagesTr", f"{name}.nii.gz")) for name in names]
    expected = [patient or name for patient, name in zip(patients, names, strict=True)]
    assert list(patients_of(cases).values()) == expected


def test_the_keys_of_monai_are_the_folds(tmp_path: Path) -> None:
    listed = [{"image": f"{k}.nii", "label": f"{k}s.nii", "fold": k % 3} for k in range(6)]
    write(tmp_path, [], training=[*listed, {"image": "6.nii", "label": "6s.nii"}])
    for k in range(7):
        (tmp_path / f"{k}.nii").touch()
        (tmp_path / f"{k}s.nii").touch()
    assert [ids(load_dataset(tmp_path, fold).validation) for fold in range(3)] == [set("03"), set("14"), set("25")]
    assert ids(load_dataset(tmp_path, 2).training) == set("01346")
    with pytest.raises(UsageError, match="has the folds 0 to 2; fold 3 is none of them"):
        load_dataset(tmp_path, 3)


def test_a_list_with_its_own_validation_has_no_other_fold(tmp_path: Path) -> None:
    for name in ("dataset.json", "dataset_0.json"):
        write(tmp_path, ["a", "b"], name, validation=[{"image": "b.nii.gz", "label": "b_seg.nii.gz"}])
        content = json.loads((tmp_path / name).read_text())
        (tmp_path / name).write_text(json.dumps(content | {"training": content["training"][:1]}))
        assert ids(load_dataset(tmp_path).validation) == {"b"}
        with pytest.raises(UsageError, match=rf"{name}: names its own validation cases, .* there is no fold 1"):
            load_dataset(tmp_path, 1)


def test_a_case_on_both_sides_is_refused(tmp_path: Path) -> None:
    write(tmp_path, ["a", "b"], validation=[{"image": "b.nii.gz", "label": "b_seg.nii.gz"}])
    with pytest.raises(DataError, match=r"1 cases are in training and in validation, first .*b\.nii\.gz"):
        load_dataset(tmp_path)


def test_the_published_split_of_btcv_is_its_first_fold(tmp_path: Path) -> None:
    write(tmp_path, [f"img{number:04}" for number in BTCV_NUMBERS])
    folds = [ids(load_dataset(tmp_path, fold).validation) for fold in range(5)]
    assert folds[0] == {f"img{number:04}" for number in range(35, 41)}
    assert set.union(*folds) == {f"img{number:04}" for number in BTCV_NUMBERS}
    assert [len(fold) for fold in folds] == [6] * 5


def test_a_patient_that_a_list_divides_is_a_note_of_the_check(tmp_path: Path) -> None:
    write(tmp_path, ["p1_a", "p2_a"], validation=[{"image": "p1_b.nii.gz", "label": "p1_b_seg.nii.gz"}])
    for name in ("p1_b.nii.gz", "p1_b_seg.nii.gz"):
        (tmp_path / name).touch()
    [note] = [remark for remark in check_list(load_dataset(tmp_path)) if remark.kind == "divided-patient"]
    assert note.is_note
    assert note.message.startswith("validates, but p1_a.nii.gz of the same patient (p1) trains")
