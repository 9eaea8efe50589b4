"""The ade20k recipe run on a few scenes: what it leaves behind, exact resuming, two processes, and its measures."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from medssm.checkpoints import load_model
from medssm.data.synthetic.scenes.drawing import CLASSES
from medssm.errors import DataError, UsageError
from medssm.tasks.semantic.training import SemanticTraining
from medssm.training import Outcome

Run = Callable[..., Outcome]
MODEL = "spatialmamba-xs"


def state(folder: Path) -> dict[str, Any]:
    return torch.load(folder / "last.ckpt", weights_only=True)


def test_the_metrics_hold_both_losses_and_all_scores(trained: Path) -> None:
    with open(trained / "metrics.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    steps = [row for row in rows if row["loss"]]
    assert len(steps) == 6
    for row in steps:
        assert float(row["loss"]) == pytest.approx(float(row["main"]) + float(row["auxiliary"]), rel=1e-5)
    validations = [row for row in rows if row["miou"]]
    assert [row["step"] for row in validations] == ["3", "6"]
    assert all(0 <= float(row[name]) <= 1 for row in validations for name in ("miou", "macc", "aacc"))


def test_tensorboard_shows_label_maps(trained: Path) -> None:
    board = EventAccumulator(str(trained / "tensorboard")).Reload()
    assert {"loss", "miou", "images_per_second"} <= set(board.Tags()["scalars"])
    assert board.Tags()["images"] == [f"photograph {number}" for number in range(1, 5)]


def test_the_best_weights_say_what_segmenting_needs(trained: Path, small: dict[str, Any]) -> None:
    _, metadata = load_model(trained)
    assert (metadata.model, metadata.head, metadata.num_classes) == (MODEL, "upernet", len(CLASSES))
    assert metadata.head_settings == small["model.head_settings"]
    assert metadata.class_names == dict(enumerate(CLASSES))
    assert (metadata.preprocessing["short_side"], metadata.preprocessing["long_side"]) == (48, 448)
    assert f"mIoU {state(trained)['progress']['best_score']:.4f}" in metadata.source


@pytest.mark.parametrize("passes", [pytest.param(3, marks=pytest.mark.slow), 10])
def test_a_stopped_and_resumed_run_is_the_same_bit_for_bit(
    passes: int, run: Run, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped in the first of a step's two passes and in the second."""
    losses, count = SemanticTraining.losses, iter(range(1, 1000))

    def stopping(*arguments: Any) -> dict[str, torch.Tensor]:
        if next(count) == passes:
            signal.raise_signal(signal.SIGINT)
        return losses(*arguments)

    monkeypatch.setattr(SemanticTraining, "losses", stopping)
    assert run(tmp_path / "parts").step == (passes + 1) // 2
    assert run(tmp_path / "parts", resume=True).step == 6
    mine, theirs = state(tmp_path / "parts")["model"], state(trained)["model"]
    assert all(torch.equal(mine[name], value) for name, value in theirs.items())
    assert (tmp_path / "parts" / "best.safetensors").read_bytes() == (trained / "best.safetensors").read_bytes()


def first_gradients(
    folder: Path, starter: list[str], data: Path, small: dict[str, Any], *settings: str
) -> list[dict[str, torch.Tensor]]:
    """Those of each process after the first step of a training in processes of their own."""
    script = str(Path(__file__).with_name("keep_gradients.py"))
    changes = {**small, "model.dropout_rate": 0.0, "schedule.iterations": 4, "schedule.warmup_steps": 1}
    options = [word for key, value in changes.items() for word in ("--set", f"{key}={json.dumps(value)}")]
    command = ["train", "ade20k", "--model", MODEL, "--data", str(data), "--max-steps", "1", "--out", "run"]
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, *starter, script, *command, *options, *settings],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [torch.load(path, weights_only=True) for path in sorted(folder.glob("gradients?.pt"))]


@pytest.mark.slow
def test_two_processes_have_the_gradients_of_one_with_twice_the_batch(
    scenes: Path, small: dict[str, Any], tmp_path: Path
) -> None:
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    first, second = first_gradients(tmp_path / "two", torchrun, scenes, small)
    (whole,) = first_gradients(tmp_path / "one", [], scenes, small, "--set", "run.batch_size=4")
    for name, value in whole.items():
        assert torch.equal(first[name], second[name]), name
        torch.testing.assert_close(first[name], value, rtol=1e-3, atol=1e-5 * max(1, float(value.abs().max())))


def test_a_dataset_of_more_classes_than_the_model_is_refused(run: Run, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"has 8 classes, but the model has 7; .* --set model\.num_classes=8"):
        run(tmp_path / "run", model__num_classes=7)


def test_a_broken_label_map_ends_the_run_with_a_sentence(run: Run, scenes: Path, tmp_path: Path) -> None:
    shutil.copytree(scenes, tmp_path / "data")
    for path in (tmp_path / "data" / "annotations" / "training").iterdir():
        Image.new("L", (20, 20), 1).save(path)
    with pytest.raises(DataError, match=r"label map and photograph are of 20 x 20 and \d+ x \d+ pixels"):
        run(tmp_path / "run", data__folder=str(tmp_path / "data"))
