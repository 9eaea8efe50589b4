"""The folder of a run: the resolved recipe, the environment, the log, the metrics and the checkpoints."""

import json
from dataclasses import dataclass
from pathlib import Path

from medssm.environment import environment
from medssm.errors import UsageError
from medssm.files import atomic_path


@dataclass(frozen=True)
class RunFolder:
    """Where the files of a run lie."""

    path: Path

    @property
    def recipe(self) -> Path:
        return self.path / "recipe.yaml"

    @property
    def environment(self) -> Path:
        return self.path / "environment.json"

    @property
    def log(self) -> Path:
        return self.path / "train.log"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.csv"

    @property
    def curves(self) -> Path:
        return self.path / "curves.png"

    @property
    def last(self) -> Path:
        return self.path / "last.ckpt"

    @property
    def best(self) -> Path:
        return self.path / "best.safetensors"

    @property
    def tensorboard(self) -> Path:
        return self.path / "tensorboard"

    def refuse_files(self) -> None:
        """Raises UsageError if there is something in the folder already."""
        if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            raise UsageError(
                f"{self.path}: already holds files; continue that run with --resume or choose another folder with --out"
            )

    def begin(self, recipe: str) -> None:
        """Creates the folder with the resolved recipe in it."""
        with atomic_path(self.recipe) as temporary:
            temporary.write_text(recipe, encoding="utf-8")

    def record_environment(self, device: str) -> None:
        """Adds this machine and its software to the list of sessions that trained the run."""
        sessions = json.loads(self.environment.read_text(encoding="utf-8")) if self.environment.exists() else []
        with atomic_path(self.environment) as temporary:
            temporary.write_text(json.dumps([*sessions, environment(device)], indent=2) + "\n", encoding="utf-8")
