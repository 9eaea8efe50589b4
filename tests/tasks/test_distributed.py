"""Two processes on the CPU train one network, started by `--devices 2` and by torchrun."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import torch

MEDSSM = [str(Path(sys.executable).with_name("medssm"))]  # other processes are started as this one was
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
RECIPE = {
    "model.num_classes": 3,
    "augmentation.crops.size": [16, 16, 16],
    "run.accelerator": "cpu",
    "run.log_every_steps": 1,
    "loss.kind": "dice-ce",
    "loss.class_weights": "none",  # weights are normalised within each process
    "optimizer.eps": 1.0e-3,  # far above rounding, which Adam would otherwise enlarge to whole steps
}


def train(starter: list[str], data: Path, folder: Path, batch: int, *options: str) -> str:
    """The output of a training of two steps, in a process of its own."""
    done = started(starter, data, folder, batch, *options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def started(
    starter: list[str], data: Path, folder: Path, batch: int, *options: str
) -> subprocess.CompletedProcess[str]:
    """The process of such a training, ended."""
    changes = {**RECIPE, "run.batch_size": batch}
    settings = [word for key, value in changes.items() for word in ("--set", f"{key}={value}".replace(" ", ""))]
    command = ["train", "btcv", "--model", "mamband-xs", "--data", str(data), "--max-steps", "2", "--out", "run"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MEDSSM_CACHE": str(folder / "cache")}
    folder.mkdir()
    return subprocess.run(
        [sys.executable, *starter, *command, *settings, *options],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "run" / "last.ckpt", weights_only=True)["model"]


def test_all_processes_of_torchrun_hold_the_weights_that_are_saved(cube_dataset: Path, tmp_path: Path) -> None:
    script = str(Path(__file__).with_name("keep_ranks.py"))
    output = train([*TORCHRUN, script], cube_dataset, tmp_path / "two", 1)
    assert "2 x cpu" in output
    saved = weights(tmp_path / "two")
    for rank in (0, 1):
        held = torch.load(tmp_path / "two" / f"rank{rank}.pt", weights_only=True)
        assert all(torch.equal(held[name], value) for name, value in saved.items()), f"rank {rank}"


def test_two_processes_that_fail_say_so_once(cube_dataset: Path, tmp_path: Path) -> None:
    size = ("--set", "augmentation.crops.size=[20,16,16]")
    done = started(MEDSSM, cube_dataset, tmp_path / "two", 1, "--devices", "2", *size)
    assert done.returncode == 2
    assert done.stderr.count("medssm: an input of 20x16x16 voxels does not divide into patches") == 1
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "two" / "run").exists()


def test_two_devices_train_the_weights_of_one_with_twice_the_batch(cube_dataset: Path, tmp_path: Path) -> None:
    output = train(MEDSSM, cube_dataset, tmp_path / "two", 1, "--devices", "2")
    train(MEDSSM, cube_dataset, tmp_path / "one", 2)
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-4, atol=4e-4)
        assert (two[name] - value).abs().mean() < 2e-5

    assert output.count("step 0 of 2") == output.count("finished at step 2") == 1
    run = tmp_path / "two" / "run"
    assert (run / "train.log").read_text(encoding="utf-8").count("finished at step 2") == 1
    assert len(json.loads((run / "environment.json").read_text(encoding="utf-8"))) == 1
    assert len(list((run / "tensorboard").iterdir())) == 1
    with open(run / "metrics.csv", newline="") as file:
        steps = [row["step"] for row in csv.DictReader(file)]
    assert steps == ["1", "2", "2"]
