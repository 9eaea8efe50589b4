"""The imagenet recipe run on a few patterns: what it leaves behind, exact resuming, and what is wrong with the data."""

import csv
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from medssm.checkpoints import load_model
from medssm.data.layouts.imagenet import load_image_dataset
from medssm.errors import DataError, UsageError
from medssm.recipes import load_recipe, train
from medssm.tasks.answers import COLUMNS, SIDE, Answer, contact_sheet
from medssm.tasks.classification.training import ClassificationTraining
from medssm.training import Outcome

Run = Callable[..., Outcome]


@pytest.fixture
def run(tiny_models: None, small_images: dict[str, Any]) -> Run:
    """train() into a folder with changes, where `run__seed` stands for run.seed."""

    def call(folder: Path, resume: bool = False, model: str = "tiny", **changes: Any) -> Outcome:
        changes = {key.replace("__", "."): value for key, value in changes.items()}
        return train("imagenet", model, {**small_images, **changes}, folder, resume)

    return call


def state(folder: Path) -> dict[str, Any]:
    return torch.load(folder / "last.ckpt", weights_only=True)


def rows(folder: Path) -> list[dict[str, str]]:
    with open(folder / "metrics.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_metrics_hold_every_loss_and_both_networks(classified: Path) -> None:
    steps = [row for row in rows(classified) if row["loss"]]
    assert len(steps) == 15
    for row in steps:
        mesa = float(row["self_distillation"])
        assert (mesa > 0) == (int(row["epoch"]) >= 1)
        assert float(row["loss"]) == pytest.approx(float(row["cross_entropy"]) + mesa, rel=1e-5)
    validations = [row for row in rows(classified) if row["top1"]]
    assert [row["step"] for row in validations] == ["5", "10", "15"]
    for row in validations:
        assert 0 <= float(row["top1"]) <= float(row["top5"]) <= 1
        assert row["average/top1"]


def test_the_log_and_tensorboard_show_images_per_second_and_answers(classified: Path) -> None:
    assert "images/s" in (classified / "train.log").read_text(encoding="utf-8")
    board = EventAccumulator(str(classified / "tensorboard")).Reload()
    assert {"loss", "top1", "average/top5", "images_per_second"} <= set(board.Tags()["scalars"])
    assert board.Tags()["images"] == ["answers"]
    assert len(board.Images("answers")) == 3


def test_the_best_weights_say_what_classifying_needs(classified: Path, shapes: Path) -> None:
    model, metadata = load_model(classified)
    assert metadata.class_names == dict(enumerate(load_image_dataset(shapes).names))
    assert tuple(metadata.input_size) == (32, 32)
    assert metadata.preprocessing["crop_pct"] == 0.875
    best = state(classified)["progress"]
    assert f"top-1 {best['best_score']:.4f}" in metadata.source
    saved = dict(model.state_dict())
    if best["best_step"] == best["step"]:
        row = rows(classified)[-1]
        kept = "average" if float(row["average/top1"]) >= float(row["top1"]) else "model"
        assert all(torch.equal(saved[name], value) for name, value in state(classified)[kept].items())


@pytest.mark.parametrize("passes", [pytest.param(3, marks=pytest.mark.slow), 17])
def test_a_stopped_and_resumed_run_is_the_same_bit_for_bit(
    passes: int, run: Run, classified: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped in the first of a step's two passes, in the first and in the second epoch; all random parts are on."""
    losses, count = ClassificationTraining.losses, iter(range(1, 1000))

    def stopping(*arguments: Any) -> dict[str, torch.Tensor]:
        if next(count) == passes:
            signal.raise_signal(signal.SIGTERM)
        return losses(*arguments)

    monkeypatch.setattr(ClassificationTraining, "losses", stopping)
    assert run(tmp_path / "parts").step == (passes + 1) // 2
    outcome = run(tmp_path / "parts", resume=True)
    assert (outcome.step, outcome.signal) == (15, None)
    assert_same_run(tmp_path / "parts", classified)


def assert_same_run(folder: Path, reference: Path) -> None:
    mine, theirs = state(folder), state(reference)
    for part in ("model", "average"):
        for name, value in theirs[part].items():
            assert torch.equal(mine[part][name], value), (part, name)
    assert (folder / "metrics.csv").read_text(encoding="utf-8") == (reference / "metrics.csv").read_text(
        encoding="utf-8"
    )


def test_a_bfloat16_channels_last_run_with_a_lamb_learns_too(run: Run, tmp_path: Path) -> None:
    outcome = run(
        tmp_path / "run",
        optimizer__algorithm="lamb",
        model__channels_last=True,
        data__dtype="bfloat16",
        run__precision="bf16-mixed",
        run__total_batch=None,
        run__max_epochs=1,
    )
    losses = [float(row["loss"]) for row in rows(tmp_path / "run") if row["loss"]]
    assert outcome.step == len(losses) == 10
    assert all(np.isfinite(losses))


def test_the_schedule_free_weights_that_are_kept_are_those_of_evaluation(
    run: Run, small_images: dict[str, Any], tmp_path: Path
) -> None:
    changes = {"averaging": None, "self_distillation": None, "optimizer__algorithm": "schedule-free-adamw"}
    run(tmp_path / "run", run__max_epochs=1, **changes)
    kept, saved = load_model(tmp_path / "run")[0].state_dict(), state(tmp_path / "run")
    # The first group is the stem's convolution and what else is decayed; its first parameter is that convolution.
    trained, z = saved["model"]["stem.0.weight"], saved["optimizer"]["state"][0]["z"]
    # y = 0.9 x + 0.1 z is trained, and x is what is evaluated.
    torch.testing.assert_close(kept["stem.0.weight"], (trained - 0.1 * z) / 0.9)
    assert not torch.equal(kept["stem.0.weight"], trained)


def test_every_image_is_validated_once(tiny_models: None, small_images: dict[str, Any], shapes: Path) -> None:
    dataset = load_image_dataset(shapes)
    recipe = load_recipe("imagenet", "tiny", small_images)
    task = ClassificationTraining(recipe, dataset)
    items = [task.source.validation_item(index) for index in range(task.validation_size)]
    assert [len(item.labels) for item in items] == [8, 8, 8, 6]
    assert torch.cat([item.labels for item in items]).tolist() == [label for label in range(10) for _ in range(3)]

    class Lazy(torch.nn.Module):
        """Takes every image for the first class."""

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.one_hot(torch.zeros(len(images), dtype=torch.long), 10).float()

    scores = task.summarise([task.validate(Lazy(), item) for item in items])
    # its nine other logits are tied: four of them are among the five highest, by lot
    assert scores["top1"] == pytest.approx(0.1)
    assert scores["top5"] == pytest.approx(0.1 + 0.9 * 4 / 9)


def test_wrong_answers_come_first_on_the_sheet() -> None:
    grey = np.full((SIDE, SIDE, 3), 100, np.uint8)
    answers = [Answer(grey, 0, 0, 0.9), Answer(grey * 2, 1, 0, 0.5)]
    sheet = contact_sheet(answers, ["cat", "dog"])
    width = sheet.shape[1] // COLUMNS
    assert sheet[5, 5].tolist() == [200] * 3
    assert sheet[5, width + 5].tolist() == [100] * 3
    assert sheet[5, 2 * width + 5].tolist() == [255] * 3


def test_a_broken_image_ends_the_run_with_a_sentence(run: Run, shapes: Path, tmp_path: Path) -> None:
    shutil.copytree(shapes, tmp_path / "data")
    image = next((tmp_path / "data" / "train").rglob("*.jpg"))
    image.write_bytes(image.read_bytes()[:300])
    with pytest.raises(DataError, match=rf"{image.name}: cannot be read as an image"):
        run(tmp_path / "run", data__folder=str(tmp_path / "data"), run__total_batch=None)
    assert 0 <= state(tmp_path / "run")["progress"]["step"] < 10


def test_a_dataset_of_more_classes_than_the_model_is_refused(run: Run, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"has 10 classes, but the model has 9; .* --set model\.num_classes=10"):
        run(tmp_path / "run", model__num_classes=9)


def test_more_images_a_step_than_there_are_is_explained(run: Run, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"run\.total_batch: 1024 samples are more than the 80 training samples"):
        run(tmp_path / "run", run__total_batch=1024)
    with pytest.raises(UsageError, match=r"12 samples are no multiple of run\.batch_size, 8"):
        run(tmp_path / "run", run__total_batch=12)


def test_without_data_it_says_where_imagenet_is_had(run: Run, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"image-net\.org.*--data synthetic"):
        run(tmp_path / "run", data__folder=None)


@pytest.mark.parametrize("num_classes", [None, 13])
def test_a_new_run_starts_from_the_weights_of_a_finished_one(
    num_classes: int | None, tiny_models: None, small_images: dict[str, Any], classified: Path
) -> None:
    """All of them, or all but the last layer where the classes are more."""
    changes = {**small_images, "model.pretrained": str(classified), "model.num_classes": num_classes}
    begun = ClassificationTraining.open(load_recipe("imagenet", "tiny", changes)).build_model().state_dict()
    finished = load_model(classified)[0].state_dict()
    fresh = {name for name, tensor in begun.items() if not torch.equal(tensor, finished[name])}
    assert fresh == (set() if num_classes is None else {name for name in begun if name.startswith("head.")})
