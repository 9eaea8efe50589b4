"""A run that was stopped at any step and resumed gives the weights of one that never was."""

import csv
import json
import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from medssm.errors import CheckpointError, UsageError
from medssm.training import fit
from medssm.training.checkpoint import load_checkpoint
from medssm.training.run_folder import RunFolder

sys.path.insert(0, str(Path(__file__).parent))
from tiny_run import Sine, settings, train

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


class Plain:
    """The precision of a run in float32, which has no state."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        assert state == {}


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


def test_every_damage_to_a_checkpoint_gets_one_sentence_and_the_one_before_is_offered(tmp_path: Path) -> None:
    train(tmp_path / "run", steps=8)
    checkpoint = tmp_path / "run" / "last.ckpt"
    whole, random = checkpoint.read_bytes(), np.random.default_rng(0)
    damaged = [b"", b"\0", whole[:1], whole[:-1], whole + b"\0" * 70_000]
    for _ in range(150):
        content = bytearray(whole)
        for place in random.integers(len(content), size=random.integers(1, 20)):
            content[place] ^= 1 << random.integers(8)
        damaged.append(bytes(content))
    outcomes = []
    for content in damaged:
        checkpoint.write_bytes(content)
        network = Sine().build_model()
        try:
            load_checkpoint(checkpoint, network, torch.optim.AdamW(network.parameters()), Plain())
        except CheckpointError as error:
            outcomes.append(str(error))
    assert len(outcomes) > 140
    for sentence in outcomes:
        assert "\n" not in sentence
        assert re.search(r"rename .*previous\.ckpt to last\.ckpt and resume again$", sentence), sentence
        assert "weights_only" not in sentence
    (tmp_path / "run" / "previous.ckpt").rename(checkpoint)
    assert train(tmp_path / "run", steps=8, resume=True).step == 8


def test_a_run_whose_checkpoint_is_gone_does_not_begin_anew_over_its_weights(tmp_path: Path) -> None:
    train(tmp_path / "run", steps=4)
    best = (tmp_path / "run" / "best.safetensors").read_bytes()
    (tmp_path / "run" / "last.ckpt").unlink()
    with pytest.raises(CheckpointError, match=r"last\.ckpt, from which to go on, is missing; rename .*previous\.ckpt"):
        train(tmp_path / "run", steps=4, resume=True)
    (tmp_path / "run" / "previous.ckpt").unlink()
    with pytest.raises(CheckpointError, match=r"is missing; its weights are in .*best\.safetensors"):
        train(tmp_path / "run", steps=4, resume=True)
    assert (tmp_path / "run" / "best.safetensors").read_bytes() == best


@pytest.mark.parametrize("content", ["", "[", "{}", "[" * 100_000])
def test_an_environment_that_cannot_be_read_is_set_aside(content: str, tmp_path: Path) -> None:
    train(tmp_path / "run", steps=4)
    environment = tmp_path / "run" / "environment.json"
    environment.write_text(content)
    train(tmp_path / "run", steps=4, resume=True)
    assert len(json.loads(environment.read_text())) == 1
    assert (tmp_path / "run" / "environment.damaged.json").read_text() == content


def test_a_run_does_not_go_on_with_other_data(tmp_path: Path) -> None:
    class Named(Sine):
        class_names = ("spleen", "liver")

    class Other(Sine):
        class_names = ("liver", "spleen")

    train(tmp_path / "run", Named(), steps=4)
    for steps in (4, 8):  # the data are spoken of even where the length is another one, too
        with pytest.raises(UsageError, match="begun with classes spleen, liver, but the dataset now has liver, spleen"):
            train(tmp_path / "run", Other(), steps=steps, resume=True)


def test_two_processes_do_not_train_in_one_folder(tmp_path: Path) -> None:
    class Twice(Sine):
        def validate(self, model: torch.nn.Module, item: int) -> float:
            lock = RunFolder(tmp_path / "run").lock
            lock.write_text(f"{os.getppid()} {socket.gethostname()}")
            with pytest.raises(UsageError, match=rf"is being trained by process {os.getppid()} "):
                train(tmp_path / "run", steps=4, resume=True)
            return super().validate(model, item)

    train(tmp_path / "run", Twice(), steps=4)
    assert [file.name for file in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize("owner", ["", "no number", "4194303 {host}"])
def test_the_lock_of_a_process_that_is_gone_is_taken_over(owner: str, tmp_path: Path) -> None:
    train(tmp_path / "run", steps=4)
    RunFolder(tmp_path / "run").lock.write_text(owner.format(host=socket.gethostname()))
    (tmp_path / "run" / ".writing-half").write_text("left by a kill")
    train(tmp_path / "run", steps=4, resume=True)
    assert not list(tmp_path.rglob(".*"))


def test_a_finished_run_says_how_another_one_begins_with_its_weights(tmp_path: Path) -> None:
    train(tmp_path / "run", steps=4)
    train(tmp_path / "run", resume=True, steps=4)
    log = (tmp_path / "run" / "train.log").read_text(encoding="utf-8")
    assert log.count(f"begin another one with its weights by --set model.pretrained={tmp_path / 'run'}") == 1


def test_the_length_of_a_one_cycle_run_cannot_change_on_the_way(tmp_path: Path) -> None:
    train(tmp_path / "run", steps=4)
    with pytest.raises(UsageError, match="begun with 4 steps and cannot have 8"):
        train(tmp_path / "run", steps=8, resume=True)


def test_a_folder_keeps_its_recipe_until_another_one_is_accepted(tmp_path: Path) -> None:
    recipe = RunFolder(tmp_path / "run").recipe
    for steps, text, kept in ((4, "of the run", "of the run"), (8, "refused", "of the run"), (4, "taken", "taken")):
        with pytest.raises(UsageError) if text == "refused" else nullcontext():
            fit(Sine(), settings(steps), tmp_path / "run", text, resume=recipe.exists())
        assert recipe.read_text(encoding="utf-8") == kept
