"""The btcv recipe run on a small dataset: it learns, resumes exactly, and says what is wrong with the data."""

import json
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import medssm
from medssm.checkpoints import load_model, load_weights
from medssm.errors import DataError, MedssmError, UsageError
from medssm.recipes import load_recipe, measure, train
from medssm.tasks.segmentation.training import SegmentationTraining
from medssm.training import Outcome

Run = Callable[..., Outcome]


@pytest.fixture
def run(small_recipe: dict[str, Any]) -> Run:
    """train() on a folder and a dataset with changes, where `run__seed` stands for run.seed."""

    def call(folder: Path, data: Path | None, resume: bool = False, **changes: Any) -> Outcome:
        changes = {key.replace("__", "."): value for key, value in changes.items()}
        overrides = {**small_recipe, "data.folder": data and str(data), **changes}
        return train("btcv", "mamband-xs", overrides, folder, resume)

    return call


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "last.ckpt", weights_only=True)["model"]


def test_it_learns_the_cubes_of_unseen_scans(trained: Path) -> None:
    rows = (trained / "metrics.csv").read_text(encoding="utf-8").splitlines()
    columns = rows[0].split(",")
    last = dict(zip(columns, rows[-1].split(","), strict=True))
    assert float(last["dice"]) > 0.5
    assert float(last["dice"]) == pytest.approx(np.mean([float(last["dice/bright"]), float(last["dice/brighter"])]))


def test_the_best_weights_say_what_prediction_needs(trained: Path) -> None:
    model, metadata = load_model(trained)
    assert metadata.model == "mamband-xs"
    assert metadata.class_names == {1: "bright", 2: "brighter"}
    assert metadata.input_size == (16, 16, 16)
    assert metadata.preprocessing["spacing"] in ([3.0, 3.0, 3.0], (3.0, 3.0, 3.0))
    assert model(torch.zeros(1, 1, 16, 16, 16)).shape == (1, 3, 16, 16, 16)


def test_tensorboard_shows_every_organ_and_the_pictures_of_a_preview_and_a_comparison(trained: Path) -> None:
    board = EventAccumulator(str(trained / "tensorboard")).Reload()
    assert {"loss", "learning_rate", "dice", "dice/bright", "dice/brighter"} <= set(board.Tags()["scalars"])
    assert set(board.Tags()["images"]) == {"prediction", "reference, prediction, agreement"}
    for tag in board.Tags()["images"]:
        picture = board.Images(tag)[0]
        assert min(picture.height, picture.width) > 400


def test_a_resumed_run_has_the_weights_of_an_unbroken_one(run: Run, cube_dataset: Path, tmp_path: Path) -> None:
    changes = {"schedule": {"kind": "warmup-cosine", "warmup_epochs": 2, "epochs": 9}, "augmentation__flips__x": "swap"}
    changes["model__arguments__patch_size"] = [4, 8, 8]
    run(tmp_path / "whole", cube_dataset, run__max_steps=6, **changes)
    run(tmp_path / "parts", cube_dataset, run__max_steps=3, **changes)
    run(tmp_path / "parts", cube_dataset, resume=True, run__max_steps=6, **changes)
    whole, parts = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert all(torch.equal(parts[name], value) for name, value in whole.items())
    network, metadata = load_model(tmp_path / "parts")
    assert metadata.arguments == {"patch_size": (4, 8, 8)}
    assert network.strides[-1] == (4, 8, 8)
    with pytest.raises(UsageError, match=r"but model\.arguments\.patch_size would change"):
        run(tmp_path / "parts", cube_dataset, resume=True, model__arguments={"patch_size": [8, 8, 8]})


def test_a_network_of_monai_trains_goes_on_and_predicts_as_ours_do(
    small_recipe: dict[str, Any], cube_dataset: Path, tmp_path: Path
) -> None:
    changes = {**small_recipe, "data.folder": str(cube_dataset), "model.arguments.filters": [4, 8, 16]}
    for steps in (1, 2):
        train("btcv", "monai:DynUNet", {**changes, "run.max_steps": steps}, tmp_path, resume=steps > 1)
    metadata = load_weights(tmp_path)[1]
    assert metadata.arguments["filters"] == (4, 8, 16)
    assert metadata.arguments["strides"] == ((1, 1, 1), (2, 2, 2), (2, 2, 2))
    segmentation = medssm.load(tmp_path).predict(cube_dataset / "imagesTr" / "img0001.nii.gz")
    assert segmentation.labels.shape == (24, 24, 24)
    changes["model.gradient_checkpointing"] = True
    with pytest.raises(UsageError, match="monai:DynUNet: cannot recompute activations"):
        train("btcv", "monai:DynUNet", changes, tmp_path / "other")


def test_a_resumed_run_keeps_its_settings(run: Run, trained: Path, cube_dataset: Path) -> None:
    with pytest.raises(UsageError, match=r"but optimizer\.weight_decay, run\.seed would change"):
        run(trained, cube_dataset, resume=True, optimizer__weight_decay=0.5, run__seed=3)


def test_other_data_are_refused_and_the_recipe_keeps_the_folder_of_the_first(
    run: Run, trained: Path, cube_dataset: Path, tmp_path: Path
) -> None:
    before = (trained / "recipe.yaml").read_text(encoding="utf-8")
    other = relist(cube_dataset, tmp_path / "data", labels={"1": "dark", "2": "darker"})
    with pytest.raises(UsageError, match="begun with classes bright, brighter, but the dataset now has dark, darker"):
        run(trained, other, resume=True)
    assert (trained / "recipe.yaml").read_text(encoding="utf-8") == before


def test_a_folder_without_a_run_is_not_resumed(run: Run, tmp_path: Path, cube_dataset: Path) -> None:
    with pytest.raises(UsageError, match="holds no run to resume"):
        run(tmp_path, cube_dataset, resume=True)


def test_a_run_does_not_go_on_with_other_scans_of_the_same_organs(
    run: Run, trained: Path, cube_dataset: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(cube_dataset, other)
    shutil.copytree(trained, tmp_path / "run")
    assert run(tmp_path / "run", other, resume=True).step == 40
    for name in ("imagesTr/img0001.nii.gz", "imagesTr/img0002.nii.gz"):
        (other / name).replace(other / f"{name}.old")
    (other / "imagesTr/img0001.nii.gz.old").rename(other / "imagesTr/img0002.nii.gz")
    (other / "imagesTr/img0002.nii.gz.old").rename(other / "imagesTr/img0001.nii.gz")
    with pytest.raises(UsageError, match=r"begun with training scans of the digest \w+, but the dataset now has \w+;"):
        run(tmp_path / "run", other, resume=True)


def spoil(dataset: Path, folder: Path, name: str, array: np.ndarray) -> Path:
    """A copy of the dataset with one file replaced."""
    shutil.copytree(dataset, folder)
    nib.save(nib.Nifti1Image(array, np.diag([3.0, 3.0, 3.0, 1.0])), folder / name)
    return folder


def test_cases_without_any_organ_train_unless_all_are(run: Run, cube_dataset: Path, tmp_path: Path) -> None:
    empty = np.zeros((24, 24, 24), np.uint8)
    data = spoil(cube_dataset, tmp_path / "data", "labelsTr/label0002.nii.gz", empty)
    spoil(data, tmp_path / "both", "labelsTr/label0005.nii.gz", empty)
    outcome = run(tmp_path / "run", tmp_path / "both", run__max_steps=1, run__validate_every_steps=1)
    assert 0 <= (outcome.best_score or 0.0) <= 1  # of the one case to validate that has organs
    for number in (1, 3, 4):
        data = spoil(data, tmp_path / f"data{number}", f"labelsTr/label000{number}.nii.gz", empty)
    with pytest.raises(DataError, match="none of the 4 cases to train on has a labelled voxel"):
        run(tmp_path / "none", data)
    assert not (tmp_path / "none").exists()


def test_a_label_beyond_the_classes_is_named(run: Run, cube_dataset: Path, tmp_path: Path) -> None:
    labels = np.full((24, 24, 24), 7, np.uint8)
    data = spoil(cube_dataset, tmp_path / "data", "labelsTr/label0002.nii.gz", labels)
    with pytest.raises(DataError, match=r"label0002\.nii\.gz: holds 7, which the list does not name; correct the map"):
        run(tmp_path / "run", data)


def test_a_case_that_cannot_be_read_is_named(run: Run, cube_dataset: Path, tmp_path: Path) -> None:
    shutil.copytree(cube_dataset, tmp_path / "data")
    image = tmp_path / "data" / "imagesTr" / "img0003.nii.gz"
    image.write_bytes(image.read_bytes()[:2000])
    with pytest.raises(MedssmError, match=r"img0003\.nii\.gz"):
        run(tmp_path / "run", tmp_path / "data")


@pytest.mark.parametrize("given", [2, 14])
def test_another_number_of_classes_than_the_dataset_has_is_refused(
    run: Run, cube_dataset: Path, tmp_path: Path, given: int
) -> None:
    with pytest.raises(UsageError, match=rf"names labels up to 2, .* is {given}; .* --set model\.num_classes=3"):
        run(tmp_path / "run", cube_dataset, model__num_classes=given)


def test_a_dataset_without_validation_cases_is_refused(run: Run, cube_dataset: Path, tmp_path: Path) -> None:
    shutil.copytree(cube_dataset, tmp_path / "data")
    datalist = json.loads((tmp_path / "data" / "dataset_0.json").read_text(encoding="utf-8"))
    datalist["training"] = datalist["training"][:1]
    datalist["validation"] = []
    (tmp_path / "data" / "dataset_0.json").write_text(json.dumps(datalist))
    with pytest.raises(DataError, match="1 training and 0 validation cases"):
        run(tmp_path / "run", tmp_path / "data")


def test_without_data_it_says_where_btcv_is_had_and_offers_the_phantom(run: Run, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"Synapse.*--data phantom"):
        run(tmp_path / "run", None)
    (tmp_path / "mine.yaml").write_text("base: btcv\nname: mine\n")
    with pytest.raises(UsageError, match=r"no dataset was given; give --data DIR, or --data phantom$"):
        train(tmp_path / "mine.yaml", "mamband-xs", {}, tmp_path / "run")
    with pytest.raises(DataError, match=r"nowhere: no such folder; .*--data phantom"):
        run(tmp_path / "run", tmp_path / "nowhere")


def test_a_run_does_not_go_on_with_other_organs(run: Run, trained: Path, cube_dataset: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(cube_dataset, other)
    datalist = json.loads((other / "dataset_0.json").read_text())
    datalist["labels"] = {"0": "background", "1": "brighter", "2": "bright"}
    (other / "dataset_0.json").write_text(json.dumps(datalist))
    shutil.copytree(trained, tmp_path / "run")
    with pytest.raises(
        UsageError, match="begun with classes bright, brighter, but the dataset now has brighter, bright"
    ):
        run(tmp_path / "run", other, resume=True)


def relist(dataset: Path, folder: Path, **content: Any) -> Path:
    """A copy of the dataset whose list says something else."""
    shutil.copytree(dataset, folder)
    listed = json.loads((folder / "dataset_0.json").read_text(encoding="utf-8"))
    (folder / "dataset_0.json").write_text(json.dumps(listed | content), encoding="utf-8")
    return folder


def test_a_new_run_starts_from_the_weights_of_a_finished_one(
    small_recipe: dict[str, Any], trained: Path, cube_dataset: Path
) -> None:
    changes = {**small_recipe, "data.folder": str(cube_dataset), "model.pretrained": str(trained)}
    begun = SegmentationTraining.open(load_recipe("btcv", "mamband-xs", changes)).build_model().state_dict()
    finished = load_weights(trained)[0]
    assert begun.keys() == finished.keys()
    assert all(torch.equal(begun[name], tensor) for name, tensor in finished.items())


def test_a_run_does_not_start_from_weights_that_are_not_there(run: Run, cube_dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere"):
        run(tmp_path / "run", cube_dataset, model__pretrained=str(tmp_path / "nowhere"))
    assert not (tmp_path / "run").exists()


TWO_CHANNELS = [{"name": name, "normalisation": {"kind": "zscore"}} for name in ("T1", "T2")]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"augmentation__crops__size": [20, 16, 16]},
            "20x16x16 voxels does not divide into .* pad it to 24x16x16",
        ),
        (
            {"data__preprocessing__channels": TWO_CHANNELS},
            "has 1 channel, where 2 are needed",
        ),
        ({"run__batch_size": 9}, "batch"),
        ({"run__max_steps": None}, "the length is missing"),
    ],
)
def test_what_is_refused_before_the_first_step_leaves_no_folder(
    changes: dict[str, Any], sentence: str, run: Run, cube_dataset: Path, tmp_path: Path
) -> None:
    with pytest.raises(MedssmError, match=sentence):
        run(tmp_path / "run", cube_dataset, **changes)
    assert not (tmp_path / "run").exists()


@pytest.fixture
def prepared(small_recipe: dict[str, Any]) -> Callable[..., list[str]]:
    """What is told of a dataset before its training, which changes of the recipe are given to."""

    def call(data: Path, **changes: Any) -> list[str]:
        changes = {key.replace("__", "."): value for key, value in changes.items()}
        overrides = {**small_recipe, "data.folder": str(data), **changes}
        training = SegmentationTraining.open(load_recipe("btcv", "mamband-xs", overrides))
        training.prepare()
        return training.news()

    return call


def test_an_ignored_label_is_neither_learnt_nor_scored(run: Run, cube_dataset: Path, tmp_path: Path) -> None:
    data = relist(cube_dataset, tmp_path / "data", labels={"background": 0, "bright": 1, "ignore": 2})
    outcome = run(tmp_path / "run", data, run__max_steps=2, run__validate_every_steps=2)
    _, metadata = load_model(tmp_path / "run")
    assert metadata.class_names == {1: "bright"}
    assert metadata.num_classes == 2
    recipe = load_recipe("btcv", overrides={"data.folder": str(data)})
    [first, _] = measure(recipe, tmp_path / "run").cases
    assert 0 <= float(first.own_grid[1]) <= 1
    assert outcome.best_score is not None
    assert "dice/ignore" not in (tmp_path / "run" / "metrics.csv").read_text(encoding="utf-8")


def test_what_is_no_ct_is_not_trained_under_a_window_of_hounsfield_units(
    prepared: Callable[..., list[str]], cube_dataset: Path, tmp_path: Path
) -> None:
    data = relist(cube_dataset, tmp_path / "data", modality={"0": "T2w MRI"})
    with pytest.raises(UsageError, match=r"images are T2w MRI, no CT, .* --set data\.preprocessing\.intensity=\[-\d"):
        prepared(data)
    [told] = prepared(data, data__preprocessing__intensity=[-120, 200])
    assert told == "the images are T2w MRI: what is below -120 or above 200 in them is not told apart"


def test_values_that_are_no_hounsfield_units_are_told(
    prepared: Callable[..., list[str]], cube_dataset: Path, tmp_path: Path
) -> None:
    data = relist(cube_dataset, tmp_path / "data")
    first = data / "imagesTr" / "img0001.nii.gz"
    scan = nib.load(first)
    values = np.linspace(800, 1300, 24**3).reshape(scan.shape).astype(np.int16)
    nib.save(nib.Nifti1Image(values - 700, scan.affine), first)
    [told] = prepared(data)
    assert "without air or fat look like MR or another modality" in told
    assert "the window of -175 to 250 is one of Hounsfield units; give another by --set data.preprocessing" in told


def put(data: Path, numbers: Iterable[int], labels: np.ndarray | None = None, **voxels: int) -> None:
    """Other label maps, or a voxel in those that are there."""
    for number in numbers:
        file = data / "labelsTr" / f"label{number:04}.nii.gz"
        array = np.array(nib.load(file).dataobj) if labels is None else labels
        for value in voxels.values():
            array[20, 20, 21] = value
        nib.save(nib.Nifti1Image(array, np.diag([3.0, 3.0, 3.0, 1.0])), file)


def test_organs_that_the_grid_loses_or_nobody_has_are_told(
    prepared: Callable[..., list[str]], cube_dataset: Path, tmp_path: Path
) -> None:
    data = relist(cube_dataset, tmp_path / "data", labels={"1": "bright", "2": "brighter", "3": "dot", "4": "nobody"})
    put(data, (1, 2, 3, 4), dot=3)
    told = prepared(data, data__preprocessing__spacing=[6.0, 6.0, 6.0])
    assert told[0] == "no case to train on has nobody: it cannot be learnt"
    assert "label0001.nii.gz: dot is too small for the grid: no voxel is left of it there (6 x 6 x 6 mm)" in told[1]
    assert told[4] == "... and 1 more cases"


def test_organs_that_some_cases_lack_are_told(
    prepared: Callable[..., list[str]], cube_dataset: Path, tmp_path: Path
) -> None:
    data = relist(cube_dataset, tmp_path / "data")
    for number in (1, 3):
        labels = np.array(nib.load(data / "labelsTr" / f"label{number:04}.nii.gz").dataobj)
        put(data, [number], np.where(labels == 2, 0, labels))
    [told] = prepared(data)
    assert told.startswith(
        "of 4 cases to train on, brighter in 2: where an organ is not labelled it is learnt as background, unless"
    )


def test_a_dataset_that_the_grid_loses_whole_is_refused(
    prepared: Callable[..., list[str]], cube_dataset: Path, tmp_path: Path
) -> None:
    data = relist(cube_dataset, tmp_path / "data")
    put(data, range(1, 7), np.zeros((24, 24, 24), np.uint8), dot=1)
    with pytest.raises(
        DataError, match=r"too small for a grid of 6 x 6 x 6 mm and .* --set data\.preprocessing\.spacing=\[3,3,3\]"
    ):
        prepared(data, data__preprocessing__spacing=[6.0, 6.0, 6.0])


def test_a_label_that_nobody_names_is_refused_by_a_measurement_too(
    trained: Path, cube_dataset: Path, tmp_path: Path
) -> None:
    data = relist(cube_dataset, tmp_path / "data")
    put(data, [6], stray=7)
    recipe = load_recipe("btcv", overrides={"data.folder": str(data)})
    with pytest.raises(DataError, match=r"label0006\.nii\.gz: holds 7, which the list does not name"):
        measure(recipe, trained)


def test_where_no_case_to_validate_has_an_organ_the_newest_weights_are_kept(
    run: Run, cube_dataset: Path, tmp_path: Path
) -> None:
    data = relist(cube_dataset, tmp_path / "data")
    put(data, (5, 6), np.zeros((24, 24, 24), np.uint8))
    run(tmp_path / "run", data, run__max_steps=2, run__validate_every_steps=1)
    assert "no case to validate has a labelled voxel" in (tmp_path / "run" / "train.log").read_text(encoding="utf-8")
    model, _ = load_model(tmp_path / "run")
    newest = weights(tmp_path / "run")
    assert all(torch.equal(value, newest[name]) for name, value in model.state_dict().items())
