"""Batches that processes prepare: the same ones, and what becomes of a process that dies or is interrupted."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from medssm.errors import DataError
from medssm.training.loader import Loader
from medssm.training.randomness import samples_of_step

sys.path.insert(0, str(Path(__file__).parent))
from tiny_run import Dying, Sine, train

SCRIPT = Path(__file__).with_name("tiny_run.py")


def test_processes_prepare_the_batches_that_threads_do() -> None:
    alone, helped = (Loader(Sine(), 0, 1, passes=2, processes=processes) for processes in (0, 2))
    for (step, number, one), (*place, other) in zip(alone.batches(2, 5), helped.batches(2, 5), strict=True):
        assert [step, number] == place
        assert torch.equal(one[0], other[0])
    assert list(helped.validation_items()) == [(0, 0), (1, 1), (2, 2)]


def test_passes_share_a_step_as_processes_do() -> None:
    whole = Loader(Sine(), seed=0, batch_size=4).batch(3)[0]
    passes = Loader(Sine(), seed=0, batch_size=1, passes=4)
    assert torch.equal(torch.cat([passes.batch(3, number)[0] for number in range(4)]), whole)
    ranks = [Loader(Sine(), seed=0, batch_size=1, passes=2, rank=rank, world_size=2) for rank in (0, 1)]
    assert torch.equal(torch.cat([ranks[i % 2].batch(3, i // 2)[0] for i in range(4)]), whole)


def test_batches_hold_samples_of_one_group_until_what_is_left_of_each() -> None:
    groups = np.array([0, 1, 1, 2, 0, 1, 0, 1, 2, 2, 0, 0, 1] * 7)
    for epoch in (0, 1):
        steps = range(epoch * 22, (epoch + 1) * 22)
        batches = [samples_of_step(3, step, 91, 4, 2, groups) for step in steps]
        pairs = np.concatenate(batches).reshape(-1, 2)
        assert len(set(pairs.ravel().tolist())) == 88  # 91 samples, of which the last three make no step
        mixed = [bool(np.ptp(groups[pair])) for pair in pairs]
        assert sum(mixed) <= 2
        assert mixed == sorted(mixed)
    assert not np.array_equal(samples_of_step(3, 0, 91, 4, 2, groups), samples_of_step(3, 22, 91, 4, 2, groups))


def test_a_process_that_dies_ends_the_run_with_its_state_saved(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a loader process ended unexpectedly.*continue with --resume"):
        train(tmp_path / "run", Dying(), loader_processes=1)
    assert torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)["progress"]["step"] in (
        4,
        5,
        6,
    )  # what was on its way is lost
    train(tmp_path / "run", loader_processes=1, resume=True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_all_processes_ends_the_run_at_a_step_and_leaves_none_behind(number: int, tmp_path: Path) -> None:
    options = ["--steps", "100000", "--settings", json.dumps({"loader_processes": 2, "validate_every_steps": 200})]
    process = subprocess.Popen(
        [sys.executable, SCRIPT, tmp_path / "run", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("step 200:"):
            os.killpg(process.pid, number)
            break
    rest = process.stdout.read()  # to its end, so nothing is left that could write to it
    assert process.wait() == 0
    assert f"stopped by {signal.Signals(number).name}" in rest
    assert "Traceback" not in rest
