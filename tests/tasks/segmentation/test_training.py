"""The btcv recipe run on a small dataset: it learns, resumes exactly, and says what is wrong with the data."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from medssm.checkpoints import load_model, load_weights
from medssm.errors import DataError, MedssmError, UsageError
from medssm.recipes import load_recipe, train
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
    run(tmp_path / "whole", cube_dataset, run__max_steps=6, **changes)
    run(tmp_path / "parts", cube_dataset, run__max_steps=3, **changes)
    run(tmp_path / "parts", cube_dataset, resume=True, run__max_steps=6, **changes)
    whole, parts = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert all(torch.equal(parts[name], value) for name, value in whole.items())


def test_a_resumed_run_keeps_its_settings(run: Run, trained: Path, cube_dataset: Path) -> None:
    with pytest.raises(UsageError, match=r"but optimizer\.weight_decay, run\.seed would change"):
        run(trained, cube_dataset, resume=True, optimizer__weight_decay=0.5, run__seed=3)


def test_a_folder_without_a_run_is_not_resumed(run: Run, tmp_path: Path, cube_dataset: Path) -> None:
    with pytest.raises(UsageError, match="holds no run to resume"):
        run(tmp_path, cube_dataset, resume=True)


def spoil(dataset: Path, folder: Path, name: str, array: np.ndarray) -> Path:
    """A copy of the dataset with one file replaced."""
    shutil.copytree(dataset, folder)
    nib.save(nib.Nifti1Image(array, np.diag([3.0, 3.0, 3.0, 1.0])), folder / name)
    return folder


def test_a_case_without_foreground_is_named(run: Run, cube_dataset: Path, tmp_path: Path) -> None:
    empty = np.zeros((24, 24, 24), np.uint8)
    data = spoil(cube_dataset, tmp_path / "data", "labelsTr/label0002.nii.gz", empty)
    with pytest.raises(DataError, match=r"label0002\.nii\.gz: has no labelled voxel"):
        run(tmp_path / "run", data)
    assert not (tmp_path / "run").exists()


def test_a_label_beyond_the_classes_is_named(run: Run, cube_dataset: Path, tmp_path: Path) -> None:
    labels = np.full((24, 24, 24), 7, np.uint8)
    data = spoil(cube_dataset, tmp_path / "data", "labelsTr/label0002.nii.gz", labels)
    with pytest.raises(DataError, match=r"label0002\.nii\.gz: holds the label 7, .* --set model\.num_classes=8"):
        run(tmp_path / "run", data)


def test_a_case_that_cannot_be_read_is_named(run: Run, cube_dataset: Path, tmp_path: Path) -> None:
    shutil.copytree(cube_dataset, tmp_path / "data")
    image = tmp_path / "data" / "imagesTr" / "img0003.nii.gz"
    image.write_bytes(image.read_bytes()[:2000])
    with pytest.raises(MedssmError, match=r"img0003\.nii\.gz"):
        run(tmp_path / "run", tmp_path / "data")


def test_a_dataset_of_more_classes_than_the_model_is_refused(run: Run, cube_dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"names labels up to 2, .* --set model\.num_classes=3"):
        run(tmp_path / "run", cube_dataset, model__num_classes=2)


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
    with pytest.raises(DataError, match=r"Synapse.*--data phantom"):
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


def test_a_new_run_starts_from_the_weights_of_a_finished_one(
    small_recipe: dict[str, Any], trained: Path, cube_dataset: Path
) -> None:
    changes = {**small_recipe, "data.folder": str(cube_dataset), "model.pretrained": str(trained)}
    begun = SegmentationTraining.open(load_recipe("btcv", "mamband-xs", changes)).build_model().state_dict()
    finished = load_weights(trained)[0]
    assert begun.keys() == finished.keys()
    assert all(torch.equal(begun[name], tensor) for name, tensor in finished.items())


def test_a_run_does_not_start_from_weights_for_other_organs(
    run: Run, trained: Path, cube_dataset: Path, tmp_path: Path
) -> None:
    with pytest.raises(
        UsageError, match=r"holds weights for bright, brighter \(3 classes\), but .* has bright, brighter \(4 classes\)"
    ):
        run(tmp_path / "run", cube_dataset, model__pretrained=str(trained), model__num_classes=4)
    with pytest.raises(FileNotFoundError, match=r"nowhere"):
        run(tmp_path / "run", cube_dataset, model__pretrained=str(tmp_path / "nowhere"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"augmentation__crops__size": [20, 16, 16]},
            "20x16x16 voxels does not divide into .* pad it to 24x16x16",
        ),
        ({"model__in_channels": 2}, "scans have one channel, but the model takes 2"),
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
