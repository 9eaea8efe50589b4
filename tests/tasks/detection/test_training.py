"""The coco recipe run on a few drawn objects: what it leaves behind, exact resuming, two processes, wrong data."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_pyramid import SMALL_HEAD, TINY

from medssm.checkpoints import create_model, load_model, save_weights
from medssm.checkpoints.metadata import WeightsMetadata
from medssm.data.synthetic.objects import drawing, write_objects
from medssm.errors import DataError, UsageError
from medssm.models import registry
from medssm.recipes import load_recipe, train
from medssm.tasks.detection.training import DetectionTraining

LOSSES = ("rpn_class", "rpn_box", "class", "box", "mask")


@pytest.fixture(scope="module", autouse=True)
def tiny_pyramid() -> Iterator[None]:
    """The model "tiny-pyramid" can be created and trained."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(registry._MODELS, TINY.name, TINY)
        yield


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve images to train on and five to validate, all of one size."""
    folder = tmp_path_factory.mktemp("objects") / "data"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drawing, "SHORTEST_SIDE", 112)
        patch.setattr(drawing, "LONGEST_SIDE", 112)
        write_objects(folder, 12, 5)
    return folder


@pytest.fixture(scope="module")
def small(objects: Path) -> dict[str, Any]:
    """Overrides that make the recipe run in seconds, with all of its random parts on."""
    return {
        "data.folder": str(objects),
        "model.head_settings": SMALL_HEAD,
        "model.pretrained": None,
        "model.drop_path_rate": 0.2,
        "augmentation.short_sides": [64, 80],
        "augmentation.crop": {"short_sides": [96], "long_side": 200, "sides": [48, 80]},
        "validation.short_side": 64,
        "validation.batch_size": 2,
        "optimizer.learning_rate": 1.0e-3,
        "schedule": {"epochs": 2, "milestones": [1], "warmup_steps": 2},
        "averaging": {"decay": 0.8},
        "run.accelerator": "cpu",
        "run.batch_size": 2,
        "run.total_batch": 4,
        "run.log_every_steps": 1,
        "run.loader_processes": 1,
    }


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, small: dict[str, Any]) -> Path:
    """A finished run folder of six steps."""
    folder = tmp_path_factory.mktemp("detected") / "run"
    train("coco", "tiny-pyramid", small, folder)
    return folder


def rows(folder: Path) -> list[dict[str, str]]:
    with open(folder / "metrics.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def state(folder: Path) -> dict[str, Any]:
    return torch.load(folder / "last.ckpt", weights_only=True)


def test_weights_that_cannot_be_had_leave_no_run_folder(small: dict[str, Any], tmp_path: Path) -> None:
    settings = {**small, "model.pretrained": "published"}
    with pytest.raises(UsageError, match=r"only a browser can fetch them .* --set model\.pretrained=FILE"):
        train("coco", "spatialmamba-t", settings, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_metrics_hold_every_loss_and_both_networks(trained: Path) -> None:
    steps = [row for row in rows(trained) if row["loss"]]
    assert len(steps) == 6
    for row in steps:
        assert float(row["loss"]) == pytest.approx(sum(float(row[name]) for name in LOSSES), rel=1e-5)
    validations = [row for row in rows(trained) if row["box_ap"]]
    assert [row["step"] for row in validations] == ["3", "6"]
    assert all(0 <= float(row["average/mask_ap"]) <= float(row["average/mask_ap50"]) <= 1 for row in validations)


def test_the_log_says_that_the_weights_were_random(trained: Path) -> None:
    log = (trained / "train.log").read_text(encoding="utf-8")
    assert log.count("the backbone starts from random weights") == 1
    assert "images/s" in log


def test_tensorboard_shows_objects_on_images(trained: Path) -> None:
    board = EventAccumulator(str(trained / "tensorboard")).Reload()
    assert {"loss", "mask", "box_ap", "mask_ap50"} <= set(board.Tags()["scalars"])
    assert board.Tags()["images"] == [f"objects {number}" for number in range(1, 5)]


def test_the_best_weights_say_what_detecting_needs(trained: Path) -> None:
    network, metadata = load_model(trained)
    assert (metadata.model, metadata.head, metadata.head_settings) == ("tiny-pyramid", "mask-rcnn", SMALL_HEAD)
    assert list(metadata.class_names.values()) == ["cross", "disc", "ring", "square", "triangle"]
    assert (metadata.preprocessing["short_side"], metadata.preprocessing["long_side"]) == (64, 1333)
    images = torch.zeros(1, 3, 64, 64)
    assert len(network.detect(images, [(64, 64)])) == 1


@pytest.mark.parametrize("passes", [pytest.param(3, marks=pytest.mark.slow), 8])
def test_a_stopped_and_resumed_run_is_the_same_bit_for_bit(
    passes: int, small: dict[str, Any], trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped in the first or the second of a step's two passes, in the first and in the second epoch."""
    losses, count = DetectionTraining.losses, iter(range(1, 1000))

    def stopping(*arguments: Any) -> dict[str, torch.Tensor]:
        if next(count) == passes:
            signal.raise_signal(signal.SIGTERM)
        return losses(*arguments)

    monkeypatch.setattr(DetectionTraining, "losses", stopping)
    assert train("coco", "tiny-pyramid", small, tmp_path / "parts").step == (passes + 1) // 2
    outcome = train(None, None, {}, tmp_path / "parts", resume=True)
    assert (outcome.step, outcome.signal) == (6, None)
    mine, theirs = state(tmp_path / "parts"), state(trained)
    for part in ("model", "average"):
        for name, value in theirs[part].items():
            assert torch.equal(mine[part][name], value), (part, name)
    assert (tmp_path / "parts/metrics.csv").read_bytes() == (trained / "metrics.csv").read_bytes()


@pytest.mark.parametrize("head", ["mask-rcnn", "cascade-mask-rcnn"])
def test_bfloat16_checkpointing_and_the_cascade_train_too(head: str, small: dict[str, Any], tmp_path: Path) -> None:
    changes = {
        "model.head": head,
        "model.gradient_checkpointing": True,
        "optimizer.clip_norm": 1.0,
        "averaging": None,
        "run.precision": "bf16-mixed",
        "run.max_steps": 1,
    }
    outcome = train("coco", "tiny-pyramid", {**small, **changes}, tmp_path / "run")
    assert outcome.step == 1
    assert all(np.isfinite(float(rows(tmp_path / "run")[0][name])) for name in ("loss", *LOSSES))


def test_a_backbone_starts_from_a_classifiers_weights(small: dict[str, Any], tmp_path: Path) -> None:
    classifier = create_model("tiny-pyramid")
    metadata = WeightsMetadata(model="tiny-pyramid", num_classes=10, in_channels=3, input_size=(32, 32))
    save_weights(tmp_path / "classifier.safetensors", classifier, metadata)
    settings = {**small, "model.pretrained": str(tmp_path / "classifier.safetensors")}
    task = DetectionTraining.open(load_recipe("coco", "tiny-pyramid", settings))
    network = task.build_model()
    assert torch.equal(network.backbone.stem.weight, classifier.stem.weight)
    assert task.news() == [f"the backbone starts from weights: {tmp_path / 'classifier.safetensors'}"]
    assert task.news() == []


def test_images_of_one_shape_share_batches(tmp_path: Path) -> None:
    write_objects(tmp_path / "objects", 30, 1)
    task = DetectionTraining.open(load_recipe("coco", "tiny-pyramid", {"data.folder": str(tmp_path / "objects")}))
    for place, is_upright in enumerate(task.source.groups):
        height, width = task.dataset.training[place].size
        assert is_upright == (height > width)


def test_the_seed_of_a_sample_follows_from_its_generator(small: dict[str, Any]) -> None:
    task = DetectionTraining.open(load_recipe("coco", "tiny-pyramid", small))
    first, again, other = (task.sample(3, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert torch.equal(first.image, again.image)
    assert first.objects.seed == again.objects.seed != other.objects.seed


def test_a_dataset_without_training_images_says_so(small: dict[str, Any], tmp_path: Path) -> None:
    write_objects(tmp_path / "objects", 1, 1)
    (tmp_path / "objects/annotations/instances_train2017.json").unlink()
    with pytest.raises(DataError, match="has no training images"):
        train("coco", "tiny-pyramid", {**small, "data.folder": str(tmp_path / "objects")}, tmp_path / "run")


def test_too_few_classes_are_refused(small: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has 5 classes, but the model has 3"):
        train("coco", "tiny-pyramid", {**small, "model.num_classes": 3}, tmp_path / "run")


def gradients(folder: Path, data: Path, starter: list[str], batch: int) -> dict[int, torch.Tensor]:
    """Of the first step, which Adam's first average holds a tenth of."""
    changes = {
        "model.pretrained": None,
        "model.drop_path_rate": 0,
        "model.head_settings": SMALL_HEAD,
        "augmentation.short_sides": [64],
        "validation.short_side": 64,
        "run.accelerator": "cpu",
        "run.batch_size": batch,
        "run.total_batch": 4,
        "run.max_steps": 1,
    }
    settings = [word for key, value in changes.items() for word in ("--set", f"{key}={yaml_of(value)}")]
    program = [sys.executable, *starter, str(Path(__file__).parents[1] / "tiny_pyramid.py")]
    command = ["train", "coco", "--model", TINY.name, "--data", str(data), "--out", str(folder / "run")]
    done = subprocess.run(
        [*program, *command, *settings],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    optimizer = state(folder / "run")["optimizer"]["state"]
    return {number: entries["exp_avg"] for number, entries in optimizer.items()}


def yaml_of(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {one}" for key, one in value.items()) + "}"
    return "null" if value is None else str(value)


@pytest.mark.slow
def test_two_processes_have_the_gradient_of_one_with_twice_the_batch(objects: Path, tmp_path: Path) -> None:
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    one = gradients(tmp_path / "one", objects, [], 4)
    two = gradients(tmp_path / "two", objects, torchrun, 2)
    assert one.keys() == two.keys()
    largest = max(value.abs().max().item() for value in one.values())
    for number, value in one.items():
        torch.testing.assert_close(two[number], value, rtol=1e-3, atol=1e-6 * largest)


def test_what_is_left_out_of_training_is_told_and_nothing_left_is_refused(
    objects: Path, small: dict[str, Any], tmp_path: Path
) -> None:
    shutil.copytree(objects, tmp_path / "data")
    [path] = (tmp_path / "data" / "annotations").glob("*train*.json")
    recipe = load_recipe("coco", "tiny-pyramid", {**small, "data.folder": str(tmp_path / "data")})
    content = json.loads(path.read_text(encoding="utf-8"))
    content["annotations"][0]["segmentation"] = []
    path.write_text(json.dumps(content), encoding="utf-8")
    assert "1 without an outline; medssm data check" in DetectionTraining.open(recipe).news()[1]
    for entry in content["annotations"]:
        entry["segmentation"] = []
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(DataError, match=r"none of its \d+ objects has an outline .* write each box as a polygon"):
        DetectionTraining.open(recipe)
