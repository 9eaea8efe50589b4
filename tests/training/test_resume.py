"""A run that was stopped at any step and resumed gives the weights of one that never was."""

import csv
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from medssm.errors import CheckpointError, UsageError

sys.path.insert(0, str(Path(__file__).parent))
from tiny_run import Sine, train

SCRIPT = Path(__file__).with_name("tiny_run.py")
STEPS = 400


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "run"
    train(folder, steps=STEPS)
    return folder


def start(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, SCRIPT, folder, "--steps", str(STEPS)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def last(folder: Path) -> dict:
    return torch.load(folder / "last.ckpt", weights_only=True)


def assert_same_run(folder: Path, reference: Path) -> None:
    mine, theirs = last(folder), last(reference)
    for name, value in theirs["model"].items():
        assert torch.equal(mine["model"][name], value), name
    mine["progress"].pop("seconds"), theirs["progress"].pop("seconds")
    assert mine["progress"] == theirs["progress"]
    assert (folder / "metrics.csv").read_text(encoding="utf-8") == (reference / "metrics.csv").read_text(
        encoding="utf-8"
    )
    ours, best = load_file(folder / "best.safetensors"), load_file(reference / "best.safetensors")
    assert all(torch.equal(ours[name], value) for name, value in best.items())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_killed_and_resumed_run_is_the_same_bit_for_bit(number: int, uninterrupted: Path, tmp_path: Path) -> None:
    process = start(tmp_path / "run")
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("step 100:"):
            process.send_signal(number)
            break
    rest = process.stdout.read()
    process.wait()

    step = last(tmp_path / "run")["progress"]["step"]
    assert 0 < step < STEPS
    if number != signal.SIGKILL:
        assert re.search(rf"stopped by {signal.Signals(number).name} at step {step}", rest)
    train(tmp_path / "run", steps=STEPS, resume=True)
    assert_same_run(tmp_path / "run", uninterrupted)


def test_a_stop_during_validation_takes_that_validation_again(tmp_path: Path, uninterrupted: Path) -> None:
    class Stopped(Sine):
        def validate(self, model: torch.nn.Module, item: int) -> float:
            signal.raise_signal(signal.SIGTERM)
            return super().validate(model, item)

    outcome = train(tmp_path / "run", Stopped(), steps=STEPS)
    assert outcome.signal is signal.SIGTERM
    assert (outcome.step, outcome.best_score) == (100, None)
    train(tmp_path / "run", steps=STEPS, resume=True)
    assert_same_run(tmp_path / "run", uninterrupted)


def test_a_second_signal_is_not_held_back(tmp_path: Path) -> None:
    class Impatient(Sine):
        def losses(self, model: torch.nn.Module, batch: object, moment: object) -> dict[str, torch.Tensor]:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
            raise AssertionError("the second Ctrl-C should have ended the run")

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job is started to ignore it
    try:
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "run", Impatient())
    finally:
        signal.signal(signal.SIGINT, before)
    assert last(tmp_path / "run")["progress"]["step"] == 0


def test_the_same_seed_gives_the_same_losses_and_another_does_not(tmp_path: Path) -> None:
    def losses(folder: Path, seed: int) -> list[str]:
        train(folder, steps=12, seed=seed)
        with open(folder / "metrics.csv", newline="") as file:
            return [row["loss"] for row in csv.DictReader(file) if row["loss"]]

    first = losses(tmp_path / "a", 1)
    assert len(set(first)) == 12
    assert losses(tmp_path / "b", 1) == first
    assert losses(tmp_path / "c", 2) != first


def test_a_folder_with_files_is_not_trained_into(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(UsageError, match="already holds files; continue that run with --resume"):
        train(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_damaged_checkpoint_is_explained(tmp_path: Path) -> None:
    train(tmp_path / "run", steps=4)
    whole = (tmp_path / "run" / "last.ckpt").read_bytes()
    (tmp_path / "run" / "last.ckpt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match="not a checkpoint of this run"):
        train(tmp_path / "run", steps=4, resume=True)


def test_the_length_of_a_one_cycle_run_cannot_change_on_the_way(tmp_path: Path) -> None:
    train(tmp_path / "run", steps=4)
    with pytest.raises(UsageError, match="begun with 4 steps and cannot have 8"):
        train(tmp_path / "run", steps=8, resume=True)
