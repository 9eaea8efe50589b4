"""A task of a few hundred weights, and a script that trains it: `python tiny_run.py FOLDER [--key value ...]`."""

import argparse
import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from medssm.training import Moment, Outcome, Task, TrainingSettings, fit


class Sine(Task):
    """Learns y = sin(x) with dropout, so that every random stream of a run is in use."""

    score = "score"
    loss_names = ("loss", "absolute")
    score_names = ("score",)
    training_size = 8
    validation_size = 3

    def __init__(self, dropout: float = 0.1, is_normed: bool = False) -> None:
        self.dropout, self.is_normed = dropout, is_normed

    def build_model(self) -> nn.Module:
        norm = nn.BatchNorm1d(4) if self.is_normed else nn.Identity()
        return nn.Sequential(nn.Linear(1, 16), norm, nn.Tanh(), nn.Dropout(self.dropout), nn.Linear(16, 1))

    def sample(self, index: int, random: np.random.Generator) -> tuple[Tensor, Tensor]:
        x = torch.from_numpy(index + random.uniform(size=(4, 1))).float() / 2
        return x, x.sin()

    def losses(self, model: nn.Module, batch: Any, moment: Moment) -> dict[str, Tensor]:
        x, y = batch
        error = model(x) - y
        return {"loss": error.square().mean(), "absolute": error.abs().mean().detach()}

    def validate(self, model: nn.Module, item: int) -> float:
        x = torch.linspace(item, item + 1, 12).view(3, 4, 1)
        return float((model(x) - x.sin()).square().mean())

    def summarise(self, results: list[float]) -> dict[str, float]:
        return {"score": -sum(results) / len(results)}

    def save_weights(self, model: nn.Module, path: Path, scores: dict[str, float]) -> None:
        save_file(model.state_dict(), path, metadata={"score": str(scores["score"])})


class Dying(Sine):
    """The process that prepares a sample of the seventh step is killed."""

    def collate(self, samples: list[Any], random: np.random.Generator) -> Any:
        self.batches = getattr(self, "batches", 0) + 1
        if self.batches == 7:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().collate(samples, random)


def settings(steps: int = 60, averaging: dict[str, Any] | None = None, **run: Any) -> TrainingSettings:
    """One cycle over `steps`, every step logged, validated four times."""
    return TrainingSettings.model_validate(
        {
            "optimizer": {"learning_rate": 0.01, "clip_norm": 1.0},
            "schedule": {"kind": "one-cycle"},
            "averaging": averaging,
            "run": {
                "accelerator": "cpu",
                "batch_size": 2,
                "max_steps": steps,
                "log_every_steps": 1,
                "validate_every_steps": max(1, steps // 4),
                **run,
            },
        }
    )


def train(folder: Path, task: Task | None = None, resume: bool = False, steps: int = 60, **run: Any) -> Outcome:
    """Trains the tiny task."""
    return fit(task or Sine(), settings(steps, **run), folder, recipe="tiny: true\n", resume=resume)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--batch-size", type=int, default=2)
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--norm", action="store_true")
    parser.add_argument("--settings", type=json.loads, default={}, help="further settings")
    given = parser.parse_args()
    train(
        given.folder, Sine(given.dropout, given.norm), steps=given.steps, batch_size=given.batch_size, **given.settings
    )
