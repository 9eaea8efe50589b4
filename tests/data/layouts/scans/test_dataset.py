"""Every layout gives the same kind of dataset, with the split that its owner expects."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from medssm.data.layouts.scans.dataset import load_dataset, read_datalist
from medssm.data.scans.organs import BTCV_ORGANS
from medssm.errors import DataError, UsageError

BTCV_NUMBERS = (*range(1, 11), *range(21, 41))


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def write_json(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def btcv(folder: Path, numbers: Iterable[int] = BTCV_NUMBERS) -> Path:
    for number in numbers:
        touch(folder, f"imagesTr/img{number:04}.nii.gz", f"labelsTr/label{number:04}.nii.gz")
    return folder


def entry(number: int) -> dict[str, str]:
    return {"image": f"imagesTr/img{number:04}.nii.gz", "label": f"labelsTr/label{number:04}.nii.gz"}


def nnunet(folder: Path, ids: Iterable[str], **content: Any) -> Path:
    for id in ids:
        touch(folder, f"imagesTr/{id}_0000.nii.gz", f"labelsTr/{id}.nii.gz")
    fields = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "liver": 2, "spleen": 1}}
    write_json(folder / "dataset.json", fields | {"file_ending": ".nii.gz"} | content)
    return folder


def test_btcv_without_a_list_has_the_published_split(tmp_path: Path) -> None:
    dataset = load_dataset(btcv(tmp_path))
    assert [case.id for case in dataset.validation] == [f"img{number:04}" for number in range(35, 41)]
    assert len(dataset.training) == 24
    assert dataset.label_names == BTCV_ORGANS
    assert dataset.training[0].label == tmp_path / "labelsTr" / "label0001.nii.gz"


def test_btcv_list_without_validation_has_the_published_split(tmp_path: Path) -> None:
    write_json(btcv(tmp_path) / "dataset_0.json", {"training": [entry(number) for number in BTCV_NUMBERS]})
    dataset = load_dataset(tmp_path)
    assert (len(dataset.training), len(dataset.validation)) == (24, 6)
    assert dataset.label_names == BTCV_ORGANS


def test_btcv_list_decides_the_split_and_the_names(tmp_path: Path) -> None:
    touch(btcv(tmp_path), "imagesTs/img0061.nii.gz")
    content = {
        "name": "my abdomen",
        "numTraining": 80,
        "labels": {"0": "background", "1": "spleen", "13": "lad"},
        "training": [entry(35), entry(1)],
        "validation": [entry(2)],
        "test": ["imagesTs/img0061.nii.gz"],
    }
    write_json(tmp_path / "dataset_0.json", content)
    dataset = load_dataset(tmp_path)
    assert dataset.name == "my abdomen"
    assert [case.id for case in dataset.cases] == ["img0035", "img0001", "img0002", "img0061"]
    assert dataset.label_names == {1: "spleen", 13: "lad"}
    assert dataset.test[0].label is None


def test_fold_chooses_the_list(tmp_path: Path) -> None:
    for fold in (0, 1):
        write_json(btcv(tmp_path) / f"dataset_{fold}.json", {"training": [entry(1)], "validation": [entry(2 + fold)]})
    assert load_dataset(tmp_path, fold=1).validation[0].id == "img0003"


def test_synapse_folder_names_are_known(tmp_path: Path) -> None:
    for number in BTCV_NUMBERS:
        touch(tmp_path, f"Training/img/img{number:04}.nii.gz", f"Training/label/label{number:04}.nii.gz")
    assert len(load_dataset(tmp_path).validation) == 6


def test_decathlon_folder_has_a_split_that_never_changes(tmp_path: Path) -> None:
    cases = [{"image": f"./imagesTr/liver_{k}.nii.gz", "label": f"./labelsTr/liver_{k}.nii.gz"} for k in range(20)]
    content = {"labels": {"0": "background", "1": "liver"}, "modality": {"0": "CT"}, "training": cases[:19]}
    for case in cases:
        touch(tmp_path, *case.values())
    touch(tmp_path, "imagesTr/._liver_0.nii.gz")
    write_json(tmp_path / "dataset.json", content)
    before = load_dataset(tmp_path)
    write_json(tmp_path / "dataset.json", content | {"training": cases})
    after = load_dataset(tmp_path)
    assert (len(before.training), len(before.validation)) == (15, 4)
    assert len({case.id for case in before.validation} & {case.id for case in after.validation}) >= 3
    assert not {case.id for case in after.training} & {case.id for case in after.validation}


def test_single_case_trains(tmp_path: Path) -> None:
    write_json(btcv(tmp_path, [7]) / "dataset.json", {"training": [entry(7)]})
    dataset = load_dataset(tmp_path)
    assert (len(dataset.training), len(dataset.validation)) == (1, 0)


def test_nnunet_folder_is_read(tmp_path: Path) -> None:
    nnunet(tmp_path, [f"case_{k:03}" for k in range(10)])
    touch(tmp_path, "imagesTs/new_0000.nii.gz")
    dataset = load_dataset(tmp_path)
    assert (len(dataset.training), len(dataset.validation), len(dataset.test)) == (8, 2, 1)
    assert dataset.label_names == {1: "spleen", 2: "liver"}
    assert dataset.channel_names == ("CT",)
    case = dataset.training[0]
    assert case.image.name == f"{case.id}_0000.nii.gz"
    assert case.label is not None
    assert case.label.name == f"{case.id}.nii.gz"


def test_nnunet_splits_are_followed(tmp_path: Path) -> None:
    nnunet(tmp_path, ["a", "b", "c"])
    write_json(tmp_path / "splits_final.json", [{"train": ["a", "b"], "val": ["c"]}, {"train": ["c"], "val": ["a"]}])
    assert [case.id for case in load_dataset(tmp_path, fold=1).cases] == ["c", "a"]
    with pytest.raises(UsageError, match="has the folds 0 to 1; fold 2 is none of them"):
        load_dataset(tmp_path, fold=2)


def test_missing_files_are_counted(tmp_path: Path) -> None:
    (btcv(tmp_path) / "labelsTr" / "label0022.nii.gz").unlink()
    with pytest.raises(
        DataError, match=r"1 of 60 listed files are missing, first .*label0022.nii.gz.*medssm data check"
    ):
        load_dataset(tmp_path)


@pytest.mark.parametrize("name", ["absent", "empty"])
def test_absent_dataset_says_what_is_expected_and_nothing_of_btcv(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=rf"{name}: no s.*--data phantom, which needs no download$") as caught:
        load_dataset(tmp_path / name)
    assert "BTCV" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"training": 3}, "must be lists"),
        ({"training": [{"image": 3}]}, "a case must be"),
        ({"training": [{"image": ["a.nii", 3]}]}, "a case must be"),
        ({"training": [{"image": []}]}, "a case must be"),
        ({"training": [{"image": "a.nii"}], "labels": {"0": "b"}}, "1 of 1 listed files are missing"),
        ({"training": []}, "names no labels; add such as"),
        ({"training": [], "labels": {"left": [1, 2]}}, "regions of several values are not supported"),
        ({"training": [], "labels": {"1": "b"}}, "lists no case to train on"),
        ([], "holds no JSON object"),
    ],
)
def test_strange_list_is_explained(tmp_path: Path, content: Any, sentence: str) -> None:
    write_json(tmp_path / "dataset.json", content)
    with pytest.raises(DataError, match=sentence):
        load_dataset(tmp_path)


def test_broken_json_is_explained(tmp_path: Path) -> None:
    (tmp_path / "dataset_0.json").write_text('{"training": [')
    with pytest.raises(DataError, match=r"dataset_0.json: is not valid JSON \(.*line 1"):
        load_dataset(tmp_path)


def test_unknown_names_without_a_list_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "imagesTr/liver_1.nii.gz", "labelsTr/liver_1.nii.gz")
    with pytest.raises(DataError, match=r'nothing names the labels; write .*dataset\.json with \{"labels": '):
        read_datalist(tmp_path)


def test_training_case_without_a_label_is_refused(tmp_path: Path) -> None:
    content = {"training": [entry(1), {"image": "imagesTr/img0002.nii.gz"}], "validation": []}
    write_json(btcv(tmp_path) / "dataset.json", content | {"labels": {"1": "spleen"}})
    with pytest.raises(DataError, match="1 cases have no label, first img0002"):
        load_dataset(tmp_path)
