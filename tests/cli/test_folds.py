"""A cross-validation of two folds on small scans, and the mean of its networks."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

import medssm
from medssm.data.layouts.scans.dataset import load_dataset
from medssm.errors import DataError, UsageError
from medssm.recipes import load_recipe, train, train_folds
from medssm.tasks.segmentation.cross_validation import CrossValidation, cross_validation

SHORT = {"augmentation.crops.size": (16, 16, 16), "run.max_steps": 1, "run.accelerator": "cpu"}


@pytest.fixture(scope="module")
def two_folds(made_once: Callable[..., Path], cube_dataset: Path) -> Path:
    """Four of the cubes in two folds."""

    def write(folder: Path) -> None:
        folder.mkdir()
        listed = json.loads((cube_dataset / "dataset_0.json").read_text())
        cases = [
            {key: str(cube_dataset / name) for key, name in pair.items()} | {"fold": place % 2}
            for place, pair in enumerate(listed["training"])
        ]
        (folder / "dataset.json").write_text(json.dumps({"labels": listed["labels"], "training": cases}))

    return made_once("two folds", write)


@pytest.fixture(scope="module")
def begun(made_once: Callable[..., Path], two_folds: Path) -> Path:
    """A cross-validation of which the second fold alone was trained."""

    def begin(folder: Path) -> None:
        settings = {**SHORT, "data.folder": str(two_folds)}
        done = train_folds("btcv", "mamband-xs", settings, folder, count=2, only=[1])
        assert done.table is None

    return made_once("begun", begin)


@pytest.fixture(scope="module")
def whole(made_once: Callable[..., Path], begun: Path) -> Path:
    """The same, gone on with."""

    def go_on(folder: Path) -> None:
        begun.rename(folder)
        kept = (folder / "fold1" / "best.safetensors").read_bytes()
        assert not (folder / "fold0").exists()
        done = train_folds(None, None, {}, folder, resume=True)
        assert done.table is not None
        assert (folder / "fold1" / "best.safetensors").read_bytes() == kept

    return made_once("whole", go_on)


def test_every_case_is_scored_once_by_the_network_that_has_not_seen_it(whole: Path, two_folds: Path) -> None:
    document = json.loads((whole / "cross_validation.json").read_text())
    assert (document["cases"], document["patients"]) == (4, 4)
    assert {(row["fold"], row["case"]) for row in document["scores"]} == {
        (0, "img0001"), (1, "img0002"), (0, "img0003"), (1, "img0004"),
    }  # fmt: skip
    for fold in (0, 1):
        assert load_recipe(whole / f"fold{fold}" / "recipe.yaml").data.fold == fold
    each = [row["own_grid"] for row in document["scores"] if row["organ"] != "background"]
    assert document["dice"] == pytest.approx(np.mean(each), abs=1e-4)  # every case has both organs
    low, high = document["interval_95"]
    assert low <= document["dice"] <= high


def test_a_whole_cross_validation_prints_its_table_again(
    typed: Any, whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed("train", "--resume", "--out", whole) == 0
    said = capsys.readouterr().out
    assert "4 cases of" in said
    assert "95 % of 2000 bootstrap samples" in said


def test_the_folds_predict_together_or_one_by_one(typed: Any, whole: Path, cube_dataset: Path, tmp_path: Path) -> None:
    scan = cube_dataset / "imagesTr" / "img0005.nii.gz"
    arguments = ("predict", scan, "--run", whole, "--probabilities")
    assert typed(*arguments, "--out", tmp_path / "both") == 0
    for fold in ("0", "1"):
        assert typed(*arguments, "--fold", fold, "--out", tmp_path / fold) == 0
    both, first, second = (
        np.asarray(nib.load(tmp_path / name / "img0005_prob.nii.gz").dataobj) for name in ("both", "0", "1")
    )
    assert np.abs(both - (first + second) / 2).mean() < 0.02  # where windows overlap, logarithms are blended
    assert np.abs(first - second).max() > 0.05
    one = medssm.load(whole / "fold0").predict(scan, confidence=True)
    twice = medssm.load(whole).predict(scan, confidence=True)
    assert one.confidence.keys() <= {1, 2}
    assert all(0 < value <= 1 for value in twice.confidence.values())
    assert typed(*arguments, "--fold", "7", "--out", tmp_path / "no") == 2


def test_runs_for_other_scans_are_not_averaged(typed: Any, whole: Path, tmp_path: Path, cube_dataset: Path) -> None:
    settings = {**SHORT, "data.folder": str(cube_dataset), "data.preprocessing.spacing": [4.0, 4.0, 4.0]}
    train("btcv", "mamband-xs", settings, tmp_path / "other")
    scan = cube_dataset / "imagesTr" / "img0005.nii.gz"
    runs = ("--run", whole / "fold0", "--run", tmp_path / "other")
    assert typed("predict", scan, *runs, "--out", tmp_path / "out") == 2


def test_what_does_not_fit_the_dataset_is_refused(
    two_folds: Path, whole: Path, cube_dataset: Path, tmp_path: Path
) -> None:
    settings = {**SHORT, "data.folder": str(two_folds)}
    with pytest.raises(UsageError, match="is divided into 2 folds, not 5; give --folds 2"):
        train_folds("btcv", "mamband-xs", settings, tmp_path / "cv", count=5)
    assert not (tmp_path / "cv").exists()
    with pytest.raises(UsageError, match=r"names its own validation cases, .*; list all cases as training"):
        train_folds("btcv", "mamband-xs", {**SHORT, "data.folder": str(cube_dataset)}, tmp_path / "cv", count=2)
    with pytest.raises(UsageError, match="imagenet trains no network for scans"):
        train_folds("imagenet", None, {"data.folder": str(cube_dataset)}, tmp_path / "cv", count=2)
    with pytest.raises(UsageError, match="has the folds 0 to 1; fold 4 is none"):
        train_folds(None, None, {}, whole, only=[4], resume=True)
    with pytest.raises(UsageError, match="holds no cross-validation to go on with"):
        train_folds(None, None, {}, tmp_path / "none", resume=True)
    split = whole / "folds.json"
    before = split.read_text()
    try:
        split.write_text(before.replace("img0001", "img0009"))
        with pytest.raises(UsageError, match="was begun with other cases or another split"):
            train_folds(None, None, {}, whole, resume=True)
    finally:
        split.write_text(before)


def test_a_case_that_is_scored_twice_or_never_is_a_fault(whole: Path, two_folds: Path) -> None:
    dataset = load_dataset(two_folds, 0)
    table = train_folds(None, None, {}, whole, resume=True).table
    assert isinstance(table, CrossValidation)
    with pytest.raises(DataError, match="validates in none of the folds 0; correct it"):
        cross_validation(dataset, {0: table.folds[0]})
    with pytest.raises(DataError, match="validates in two folds"):
        cross_validation(dataset, {0: table.folds[0], 1: table.folds[0]})
