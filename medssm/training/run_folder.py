"""The folder of a run: the resolved recipe, the environment, the log, the metrics and the checkpoints."""

import json
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from medssm.environment import environment
from medssm.errors import CheckpointError, UsageError
from medssm.files import atomic_path, json_text, remove_unfinished
from medssm.training.checkpoint import PREVIOUS


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
    def previous(self) -> Path:
        return self.path / PREVIOUS

    @property
    def lock(self) -> Path:
        """Beside the folder, which it is taken for before there is one."""
        whole = self.path.resolve()
        return whole.with_name(f".{whole.name}.training")

    @property
    def best(self) -> Path:
        return self.path / "best.safetensors"

    @property
    def tensorboard(self) -> Path:
        return self.path / "tensorboard"

    @property
    def boards(self) -> Path:
        """What servers of figures call this run."""
        return self.path / "loggers.json"

    def refuse_files(self) -> None:
        """Raises UsageError if there is something in the folder already."""
        if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            raise UsageError(
                f"{self.path}: already holds files; continue that run with --resume or choose another folder with --out"
            )

    def keep(self, recipe: str) -> None:
        """Writes the resolved recipe, and creates the folder if there is none."""
        with atomic_path(self.recipe) as temporary:
            temporary.write_text(recipe, encoding="utf-8")

    def record_environment(self, device: str) -> None:
        """Adds this machine and its software to the list of sessions that trained the run.

        A list that cannot be read is set aside: it is a record, and no reason to lose the run.
        """
        with atomic_path(self.environment) as temporary:
            temporary.write_text(json_text([*self._sessions(), environment(device)]), encoding="utf-8")

    def _sessions(self) -> list[object]:
        if not self.environment.exists():
            return []
        try:
            sessions = json.loads(self.environment.read_text(encoding="utf-8"))
            if isinstance(sessions, list):
                return sessions
        except (ValueError, RecursionError):
            pass
        os.replace(self.environment, self.environment.with_suffix(".damaged.json"))
        return []

    def check_resumable(self) -> None:
        """Raises CheckpointError if something was learnt here and the state from which to go on is gone."""
        if not self.last.exists() and (self.best.exists() or self.previous.exists()):
            way_out = (
                f"rename {self.previous} to {self.last.name} and resume again"
                if self.previous.exists()
                else f"its weights are in {self.best}; train again with another --out"
            )
            raise CheckpointError(f"{self.path}: {self.last.name}, from which to go on, is missing; {way_out}")

    def discard(self) -> None:
        """Deletes the folder of a run that ended before its first step, so that the corrected command can use it."""
        shutil.rmtree(self.path, ignore_errors=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Within it no other process trains in the folder; what a killed one left half-written is swept away.

        Raises: UsageError if another one does.
        """
        self.lock.parent.mkdir(parents=True, exist_ok=True)
        self._take_lock()
        try:
            remove_unfinished(self.path)
            yield
        finally:
            self.lock.unlink(missing_ok=True)

    def _take_lock(self) -> None:
        mine = f"{os.getpid()} {socket.gethostname()}"
        for _ in range(2):
            try:
                with open(self.lock, "x", encoding="utf-8") as file:
                    file.write(mine)
                return
            except FileExistsError:
                owner = self.lock.read_text(encoding="utf-8", errors="replace").strip()
                if _is_running(owner):
                    break
                self.lock.unlink(missing_ok=True)
        raise UsageError(
            f"{self.path}: is being trained by process {owner}; wait for it or stop it, or choose another --out "
            f"(if it runs no more, delete {self.lock})"
        )


def _is_running(owner: str) -> bool:
    """Whether the process that a lock names may still run; of one on another machine that cannot be told."""
    pid, _, host = owner.partition(" ")
    if not pid.isdecimal():
        return False
    if host != socket.gethostname():
        return True
    if int(pid) == os.getpid():
        return False  # a lock of this process that was not let go, as it is begun anew
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
