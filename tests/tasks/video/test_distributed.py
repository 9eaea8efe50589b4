"""Two processes on the CPU train one network on videos, one of which is broken."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from medssm.recipes import train

MEDSSM = str(Path(sys.executable).with_name("medssm"))  # other processes are started as this one was
RANDOM_OF_THE_NETWORK = {"model.dropout_rate": 0.0, "model.drop_path_rate": 0.0}  # drawn by each process
MIXING_OF_A_BATCH = {"mixing": {"probability": 0.0}}  # pairs are those of each process's batch


def settings_of(small_clips: dict[str, Any], batch: int) -> dict[str, Any]:
    """Of a training of two steps of eight clips."""
    changes = {**RANDOM_OF_THE_NETWORK, **MIXING_OF_A_BATCH, "sampling.copies": 1}
    return {**small_clips, **changes, "run.batch_size": batch, "run.total_batch": 8, "run.max_steps": 2}


def train_two(settings: dict[str, Any], folder: Path) -> None:
    """The same by two processes, started as a person starts them."""
    words = [word for key, value in settings.items() for word in ("--set", f"{key}={json.dumps(value)}")]
    command = ["train", "ucf101", "--model", "mamband-video-xs", "--out", str(folder), "--devices", "2", *words]
    done = subprocess.run(
        [sys.executable, MEDSSM, *command],
        cwd=folder.parent,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def weights(run: Path) -> dict[str, torch.Tensor]:
    return torch.load(run / "last.ckpt", weights_only=True)["model"]


def validation(run: Path) -> dict[str, str]:
    with open(run / "metrics.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))[-1]


def test_two_devices_train_the_weights_of_one_with_twice_the_batch(small_clips: dict[str, Any], tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    train("ucf101", "mamband-video-xs", settings_of(small_clips, 8), one)
    train_two(settings_of(small_clips, 4), two)
    theirs = weights(one)
    for name, value in weights(two).items():
        # Adam's step is about the learning rate, 3e-3, however small the gradient: rounding shows in a few weights.
        torch.testing.assert_close(value, theirs[name], rtol=1e-4, atol=4e-4)
        assert (value - theirs[name]).abs().mean() < 2e-5
    assert validation(two)["broken"] == validation(one)["broken"] == "1.0"
    assert abs(float(validation(two)["validation_loss"]) - float(validation(one)["validation_loss"])) < 1e-3
    log = (two / "train.log").read_text(encoding="utf-8")
    assert "2 x cpu" in log
    assert log.count("1 of 16 validation videos cannot be read and are left out") == 1
