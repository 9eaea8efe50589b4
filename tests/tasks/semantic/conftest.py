"""A short run of the ade20k recipe on a few scenes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from medssm.data.synthetic.scenes import write_scenes
from medssm.recipes import train
from medssm.training import Outcome

Run = Callable[..., Outcome]
MODEL = "spatialmamba-xs"
SMALL = {
    "model.head_settings": {"channels": 8, "auxiliary_channels": 8},
    "augmentation.short_side": 48,
    "augmentation.crop": [32, 32],
    "validation.short_side": 48,
    "schedule.iterations": 6,
    "schedule.warmup_steps": 2,
    "run.batch_size": 2,
    "run.total_batch": 4,
    "run.validate_every_steps": 3,
    "run.log_every_steps": 1,
    "run.accelerator": "cpu",
}


@pytest.fixture(scope="session")
def small() -> dict[str, Any]:
    """Overrides that make the ade20k recipe run in seconds on the scenes."""
    return SMALL


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten scenes to train on, four to validate."""
    folder = tmp_path_factory.mktemp("scenes") / "data"
    write_scenes(folder, training=10, validation=4)
    return folder


@pytest.fixture(scope="module")
def run(scenes: Path) -> Run:
    """train() into a folder with changes, where `run__seed` stands for run.seed."""

    def call(folder: Path, resume: bool = False, **changes: Any) -> Outcome:
        changes = {key.replace("__", "."): value for key, value in changes.items()}
        return train("ade20k", MODEL, {"data.folder": str(scenes), **SMALL, **changes}, folder, resume)

    return call


@pytest.fixture(scope="module")
def trained(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run folder."""
    folder = tmp_path_factory.mktemp("semantic") / "run"
    run(folder)
    return folder
