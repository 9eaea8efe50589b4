"""Dice in both protocols, against MONAI and against Dice written out."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.inferers import sliding_window_inference
from monai.metrics import compute_dice
from monai.networks import one_hot
from monai.transforms import CropForeground, ScaleIntensityRange
from typer.testing import CliRunner

import medssm
from medssm.checkpoints import load_model, save_weights
from medssm.cli.main import build_app
from medssm.errors import UsageError
from medssm.recipes import load_recipe, measure
from medssm.tasks.segmentation.scores import CaseDice, Validation

VALIDATION = ("0005", "0006")


def scan(folder: Path, number: str) -> tuple[np.ndarray, np.ndarray]:
    files = (folder / "imagesTr" / f"img{number}.nii.gz", folder / "labelsTr" / f"label{number}.nii.gz")
    image, label = (np.asarray(nib.load(file).dataobj) for file in files)
    return image, label


@pytest.fixture(scope="module")
def outcome(trained: Path, cube_dataset: Path) -> Validation:
    return measure(load_recipe("btcv", overrides={"data.folder": str(cube_dataset)}), trained)


def test_the_published_protocol_is_that_of_monai(outcome: Validation, trained: Path, cube_dataset: Path) -> None:
    model, _ = load_model(trained)
    for case, number in zip(outcome.cases, VALIDATION, strict=True):
        image, label = (torch.from_numpy(array.astype(np.float32))[None] for array in scan(cube_dataset, number))
        image = ScaleIntensityRange(-175, 250, 0, 1, clip=True)(image)
        box = CropForeground(allow_smaller=True).compute_bounding_box(image)
        inside = tuple(slice(int(low), int(high)) for low, high in zip(*box, strict=True))
        image, label = (volume[0][inside][None, None] for volume in (image, label))
        with torch.no_grad():
            logits = sliding_window_inference(image, (16, 16, 16), 1, model, overlap=0.5)
        labels = one_hot(logits.argmax(1, keepdim=True), 3)
        expected = compute_dice(labels, one_hot(label, 3))[0]
        np.testing.assert_allclose(case.network_grid, expected, atol=1e-6)


def test_the_own_grid_is_that_of_the_saved_prediction(outcome: Validation, trained: Path, cube_dataset: Path) -> None:
    predictor = medssm.load(trained)
    for case, number in zip(outcome.cases, VALIDATION, strict=True):
        labels = predictor.predict(cube_dataset / "imagesTr" / f"img{number}.nii.gz").labels
        reference = scan(cube_dataset, number)[1]
        for k in range(3):
            predicted, true = labels == k, reference == k
            assert case.own_grid[k] == pytest.approx(2 * (predicted & true).sum() / (predicted.sum() + true.sum()))


def test_the_summary_names_what_each_figure_is_a_mean_of() -> None:
    nan = torch.nan
    cases = (
        CaseDice("a", torch.tensor([1.0, 0.5, nan]), torch.tensor([1.0, 0.6, nan])),
        CaseDice("b", torch.tensor([0.9, 0.7, 0.1]), torch.tensor([0.9, 0.8, 0.2])),
    )
    summary = Validation("mamband-xs", "w", "d", {1: "x", 2: "y"}, (3.0, 3.0, 3.0), cases).summary()
    assert (summary["cases"], summary["absent"]) == (2, 1)
    assert summary["network_grid"]["dice"] == pytest.approx((0.5 + 0.4) / 2)
    assert summary["network_grid"]["dice_with_background"] == pytest.approx((0.75 + 1.7 / 3) / 2)
    assert summary["own_grid"]["dice"] == pytest.approx((0.6 + 0.5) / 2)
    assert summary["last_case"] == {"case": "b", "dice_with_background": pytest.approx(1.7 / 3)}


def test_the_command_prints_both_protocols_and_writes_them(
    outcome: Validation, trained: Path, cube_dataset: Path, tmp_path: Path
) -> None:
    options: list[Any] = ["--data", cube_dataset, "--csv", tmp_path / "scores.csv", "--json", tmp_path / "scores.json"]
    result = CliRunner().invoke(build_app(), ["validate", "btcv", "--weights", str(trained), *map(str, options)])
    assert result.exit_code == 0, result.output
    text = " ".join(result.output.split())
    assert "2 validation cases" in text
    assert "own grid" in text
    assert "six validation cases" not in text  # which is said of BTCV's alone
    written = json.loads((tmp_path / "scores.json").read_text(encoding="utf-8"))
    assert written["summary"] == outcome.summary()
    with open(tmp_path / "scores.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["case"], row["organ"]) for row in rows[:3]] == [
        ("img0005", "background"),
        ("img0005", "bright"),
        ("img0005", "brighter"),
    ]
    assert float(rows[1]["own_grid"]) == pytest.approx(float(outcome.cases[0].own_grid[1]), abs=1e-6)


def moved(cubes: Path, folder: Path, validation: tuple[str, ...], turn: str = "RAS") -> Path:
    """The cubes in another place, with another split, and label maps stored along other axes."""
    shutil.copytree(cubes, folder)
    listed = json.loads((folder / "dataset_0.json").read_text(encoding="utf-8"))
    cases = listed["training"] + listed["validation"]
    parts: dict[str, list[Any]] = {"training": [], "validation": []}
    for case in cases:
        parts["validation" if case["image"].endswith(tuple(f"{n}.nii.gz" for n in validation)) else "training"] += [
            case
        ]
        label = nib.load(folder / case["label"])
        ornt = nib.orientations.axcodes2ornt(turn)
        change = nib.orientations.ornt_transform(nib.io_orientation(label.affine), ornt)
        nib.save(label.as_reoriented(change), folder / case["label"])
    (folder / "dataset_0.json").unlink()
    (folder / "dataset_3.json").write_text(json.dumps({**listed, **parts}), encoding="utf-8")
    return folder


def test_a_label_map_along_other_axes_is_turned(
    outcome: Validation, trained: Path, cube_dataset: Path, tmp_path: Path
) -> None:
    folder = moved(cube_dataset, tmp_path / "data", VALIDATION, "LIP")
    turned = measure(load_recipe("btcv", overrides={"data.folder": str(folder), "data.fold": 3}), trained)
    for before, after in zip(outcome.cases, turned.cases, strict=True):
        np.testing.assert_allclose(after.own_grid, before.own_grid, atol=1e-6)
        np.testing.assert_allclose(after.network_grid, before.network_grid, atol=1e-6)


def test_masks_of_organs_are_a_reference_as_a_label_map_is(
    outcome: Validation, trained: Path, cube_dataset: Path, tmp_path: Path
) -> None:
    """The cubes as TotalSegmentator would keep them; the organs are numbered by their names."""
    for number in range(1, 7):
        image, case = cube_dataset / "imagesTr" / f"img{number:04}.nii.gz", tmp_path / f"s{number:04}"
        label = nib.load(cube_dataset / "labelsTr" / f"label{number:04}.nii.gz")
        (case / "segmentations").mkdir(parents=True)
        shutil.copy(image, case / "ct.nii.gz")
        for value, name in {1: "bright", 2: "brighter"}.items():
            mask = (np.asarray(label.dataobj) == value).astype(np.uint8)
            nib.save(nib.Nifti1Image(mask, label.affine), case / "segmentations" / f"{name}.nii.gz")
    rows = "".join(f"s{number:04};{'val' if number > 4 else 'train'}\n" for number in range(1, 7))
    (tmp_path / "meta.csv").write_text("image_id;split\n" + rows)
    masked = measure(load_recipe("btcv", overrides={"data.folder": str(tmp_path)}), trained)
    for before, after in zip(outcome.cases, masked.cases, strict=True):
        assert torch.equal(after.own_grid.nan_to_num(), before.own_grid.nan_to_num())
        assert torch.equal(after.network_grid.nan_to_num(), before.network_grid.nan_to_num())


def test_cases_of_the_training_are_marked_and_count_in_no_mean(
    outcome: Validation, trained: Path, cube_dataset: Path, tmp_path: Path
) -> None:
    folder = moved(cube_dataset, tmp_path / "data", ("0001", "0005"))
    found = measure(load_recipe("btcv", overrides={"data.folder": str(folder), "data.fold": 3}), trained)
    assert {case.case: case.is_seen for case in found.cases} == {"img0001": True, "img0005": False}
    assert found.summary()["own_grid"]["dice"] == pytest.approx(
        float(outcome.cases[0].own_grid[1:].nanmean()), abs=1e-6
    )
    assert "trained on 1 of the cases" in found.remarks()
    assert any("img0001 (seen in training)" in row[0] for row in found.table().rows)
    assert {row["case"] for row in found.rows() if row["seen_in_training"]} == {"img0001"}


def test_a_network_that_was_trained_on_all_cases_is_refused(trained: Path, cube_dataset: Path, tmp_path: Path) -> None:
    folder = moved(cube_dataset, tmp_path / "data", ("0001", "0002"))
    recipe = load_recipe("btcv", overrides={"data.folder": str(folder), "data.fold": 3})
    with pytest.raises(UsageError, match=r"trained on all 2 validation cases of .*dataset_3\.json"):
        measure(recipe, trained)


def test_the_fold_is_the_weights_own(outcome: Validation, trained: Path, cube_dataset: Path, tmp_path: Path) -> None:
    """The data lists fold 3 alone; weights that say so need not be told."""
    folder = moved(cube_dataset, tmp_path / "data", VALIDATION)
    network, metadata = load_model(trained)
    assert metadata.fold == 0
    assert len(metadata.trained_on) == len(set(metadata.trained_on)) == 4
    save_weights(tmp_path / "w.safetensors", network, metadata.model_copy(update={"fold": 3}))
    found = measure(load_recipe("btcv", overrides={"data.folder": str(folder)}), tmp_path / "w.safetensors")
    assert [case.case for case in found.cases] == [case.case for case in outcome.cases]


def test_cases_without_any_organ_are_measured_and_no_figure_is_made_up(
    trained: Path, cube_dataset: Path, tmp_path: Path
) -> None:
    """Where nothing is there to be found, a dash stands for the Dice."""
    listed = json.loads((cube_dataset / "dataset_0.json").read_text(encoding="utf-8"))
    pair = {key: str(cube_dataset / name) for key, name in listed["validation"][0].items()}
    empty = tmp_path / "empty.nii.gz"
    stored = nib.load(pair["label"])
    nib.save(nib.Nifti1Image(np.zeros(stored.shape, np.uint8), stored.affine), empty)
    training = [{key: str(cube_dataset / name) for key, name in case.items()} for case in listed["training"]]
    content = listed | {"training": training, "validation": [pair | {"label": str(empty)}]}
    (tmp_path / "dataset.json").write_text(json.dumps(content), encoding="utf-8")
    found = measure(load_recipe("btcv", "mamband-xs", {"data.folder": str(tmp_path)}), trained)
    assert found.table().rows[-1][1::2] == ("-", "-")
    assert "nan" not in found.remarks() + str(found.table())
    assert found.document()["summary"]["own_grid"]["dice"] is None
