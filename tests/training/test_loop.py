"""Batches, stopping early, the files of a run, and several processes."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from medssm.training.loader import Loader

sys.path.insert(0, str(Path(__file__).parent))
from tiny_run import Sine, train

SCRIPT = Path(__file__).with_name("tiny_run.py")


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "last.ckpt", weights_only=True)["model"]


def test_an_epoch_visits_every_sample_once_and_each_in_another_order() -> None:
    class Indices(Sine):
        def sample(self, index: int, random: object) -> int:
            return index

    loader = Loader(Indices(), seed=0, batch_size=2)
    epochs = [[int(i) for step in range(4 * e, 4 * e + 4) for i in loader.batch(step)] for e in range(3)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(8))] * 3
    assert len({tuple(epoch) for epoch in epochs}) == 3


def test_processes_share_the_samples_of_a_step() -> None:
    whole, _ = Loader(Sine(), seed=0, batch_size=4).batch(5)
    shares = [Loader(Sine(), seed=0, batch_size=2, rank=rank, world_size=2).batch(5)[0] for rank in (0, 1)]
    assert torch.equal(torch.cat(shares), whole)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(("start", "stop"), [(0, 0), (0, 1), (2, 11)])
def test_batches_come_in_order_however_many_threads_prepare_them(start: int, stop: int, threads: int) -> None:
    loader = Loader(Sine(), seed=0, batch_size=2, threads=threads)
    batches = list(loader.batches(start, stop))
    assert [step for step, _, _ in batches] == list(range(start, stop))
    assert all(torch.equal(x, loader.batch(step)[0]) for step, _, (x, _) in batches)


def test_two_processes_train_the_weights_of_one_with_the_doubled_batch(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", SCRIPT]
    options = ["--steps", "12", "--batch-size", "2", "--dropout", "0"]
    subprocess.run([*command, tmp_path / "two", *options], check=True, capture_output=True, env=_few_threads())
    train(tmp_path / "one", Sine(dropout=0.0), steps=12, batch_size=4)
    for name, value in weights(tmp_path / "one").items():
        torch.testing.assert_close(weights(tmp_path / "two")[name], value, rtol=1e-5, atol=1e-7)
    two, one = (float(rows(tmp_path / name)[-1]["score"]) for name in ("two", "one"))
    assert two == pytest.approx(one, rel=1e-4)


def test_processes_share_passes_averages_and_statistics(tmp_path: Path) -> None:
    """Two processes of two passes see, batch by batch, what one process of four passes sees."""
    common = {"total_batch": 8, "batch_statistics": "average", "averaging": {"decay": 0.5}}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", SCRIPT]
    options = ["--steps", "6", "--batch-size", "2", "--dropout", "0", "--norm", "--settings", json.dumps(common)]
    subprocess.run([*command, tmp_path / "two", *options], check=True, capture_output=True, env=_few_threads())
    train(tmp_path / "one", Sine(0.0, is_normed=True), steps=6, batch_size=2, **common)
    two, one = (torch.load(tmp_path / name / "last.ckpt", weights_only=True) for name in ("two", "one"))
    for part in ("model", "average"):
        for name, value in one[part].items():
            if "running" not in name and "tracked" not in name:
                torch.testing.assert_close(two[part][name], value, rtol=1e-4, atol=1e-6)
    # Of two batches a step that a process sees, a running statistic forgets 0.9 ** 2 and not 0.9 ** 4 of its start.
    assert two["model"]["1.num_batches_tracked"] == 12
    assert not torch.allclose(two["model"]["1.running_var"], one["model"]["1.running_var"], rtol=1e-3)


def test_passes_sum_to_the_gradient_of_the_whole_batch(tmp_path: Path) -> None:
    train(tmp_path / "whole", Sine(dropout=0.0), steps=12, batch_size=4)
    train(tmp_path / "parts", Sine(dropout=0.0), steps=12, batch_size=1, total_batch=4)
    for name, value in weights(tmp_path / "whole").items():
        torch.testing.assert_close(weights(tmp_path / "parts")[name], value, rtol=1e-5, atol=1e-7)
    whole, parts = ([float(row["loss"]) for row in rows(tmp_path / name) if row["loss"]] for name in ("whole", "parts"))
    assert parts == pytest.approx(whole, rel=1e-5)


def test_the_average_is_validated_beside_the_network_and_kept(tmp_path: Path) -> None:
    train(tmp_path / "run", steps=8, averaging={"decay": 0.9})
    validations = [row for row in rows(tmp_path / "run") if row["score"]]
    assert len(validations) == 4
    best = max(float(row["average/score"]) for row in validations)
    with safe_open(tmp_path / "run" / "best.safetensors", "pt") as file:
        assert float(file.metadata()["score"]) == best


def _few_threads() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def rows(folder: Path) -> list[dict[str, str]]:
    with open(folder / "metrics.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_the_run_folder_tells_the_whole_run(tmp_path: Path) -> None:
    train(tmp_path / "run", steps=8)
    assert (tmp_path / "run" / "recipe.yaml").read_text(encoding="utf-8") == "tiny: true\n"
    [session] = json.loads((tmp_path / "run" / "environment.json").read_text(encoding="utf-8"))
    assert session["packages"]["torch"] == torch.__version__.split("+")[0]
    assert "finished at step 8" in (tmp_path / "run" / "train.log").read_text(encoding="utf-8")
    assert [row["step"] for row in rows(tmp_path / "run") if row["loss"]] == [str(step) for step in range(1, 9)]
    assert [row["step"] for row in rows(tmp_path / "run") if row["score"]] == ["2", "4", "6", "8"]

    board = EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    logged = {event.step: event.value for event in board.Scalars("loss")}
    assert logged == {
        int(row["step"]): pytest.approx(float(row["loss"])) for row in rows(tmp_path / "run") if row["loss"]
    }


def test_a_run_that_no_longer_improves_ends(tmp_path: Path) -> None:
    class Hopeless(Sine):
        def summarise(self, results: list[float]) -> dict[str, float]:
            return {"score": 0.5}

    outcome = train(tmp_path / "run", Hopeless(), validate_every_steps=5, patience=2)
    assert (outcome.step, outcome.best_score, outcome.signal) == (15, 0.5, None)


def test_a_time_budget_becomes_steps_and_leaves_the_weights_as_they_are(tmp_path: Path) -> None:
    class Counting(nn.Linear):
        """Has a buffer that every training step changes."""

        def __init__(self) -> None:
            super().__init__(1, 1)
            self.register_buffer("seen", torch.zeros(()))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.seen += self.training
            return super().forward(x)

    class Counted(Sine):
        def build_model(self) -> nn.Module:
            return Counting()

    outcome = train(tmp_path / "timed", Counted(), steps=10_000, max_minutes=0.002)
    assert 0 < outcome.step < 10_000
    assert weights(tmp_path / "timed")["seen"] == outcome.step
    train(tmp_path / "counted", Counted(), steps=outcome.step)
    assert torch.equal(weights(tmp_path / "timed")["weight"], weights(tmp_path / "counted")["weight"])
