"""last.ckpt: all that is needed to go on as if the run had never stopped."""

import os
from dataclasses import asdict, dataclass
from io import FileIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from medssm.errors import CheckpointError, MedssmError, UsageError, one_line, reason_of, without_path
from medssm.files import atomic_path
from medssm.torch_files import load_torch_file

# The checkpoint before the last, beside it.
PREVIOUS = "previous.ckpt"


@dataclass
class Progress:
    """How far a run has come.

    Attributes:
        step: steps done.
        total_steps: the length of the run, fixed before its first step.
        validated: the step of the last validation, 0 for none.
        stale: validations since the best one.
        seconds: time spent in training.
    """

    step: int = 0
    total_steps: int = 0
    validated: int = 0
    best_score: float | None = None
    best_step: int = 0
    stale: int = 0
    seconds: float = 0.0


def save_checkpoint(
    path: Path,
    model: nn.Module,
    optimizer: Any,
    precision: Any,
    progress: Progress,
    average: nn.Module | None = None,
    dataset: dict[str, Any] | None = None,
) -> None:
    """Writes the state of a run whole or not at all, and keeps the one before under the name of PREVIOUS.

    Args:
        average: the moving average of the network, where there is one.
        dataset: what must be the same of the data when the run goes on, in plain values.

    Raises: MedssmError if the weights are no longer finite; OSError of the file system, also where it is full.
    """
    if not _is_finite(model):
        raise MedssmError(divergence(progress.step))
    state = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "precision": precision.state_dict(),
        "progress": asdict(progress),
        "average": average.state_dict() if average else None,
        "dataset": dataset or {},
    }
    with atomic_path(path) as temporary:
        _write(state, temporary)
        if path.exists():
            with atomic_path(path.with_name(PREVIOUS)) as previous:
                previous.unlink()
                os.link(path, previous)


def load_checkpoint(
    path: Path,
    model: nn.Module,
    optimizer: Any,
    precision: Any,
    average: nn.Module | None = None,
    dataset: dict[str, Any] | None = None,
) -> Progress:
    """Puts a saved state back and says how far it had come.

    Raises: CheckpointError if the file is damaged or of another network; UsageError if it is of other data.
    """
    try:
        state = load_torch_file(path, is_mapped=False)
        _check_dataset(path, state.get("dataset") or {}, dataset or {})
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        precision.load_state_dict(state["precision"])
        if average:
            average.load_state_dict(state["average"])
        return Progress(**state["progress"])
    except CheckpointError as error:
        reason = without_path(path, error)
        raise CheckpointError(f"{path}: not a checkpoint of this run ({reason}); {_way_out(path)}") from error
    except (RuntimeError, LookupError, ValueError, TypeError, AttributeError, AssertionError) as error:
        raise CheckpointError(
            f"{path}: not a checkpoint of this run ({reason_of(error, 100)}); {_way_out(path)}"
        ) from error


def _way_out(path: Path) -> str:
    previous = path.with_name(PREVIOUS)
    if previous.is_file():
        return f"the one before it is kept: rename {previous} to {path.name} and resume again"
    return "train again into a new folder"


def _check_dataset(path: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    """Raises UsageError if the run was begun with other data; files of earlier versions do not say."""
    for what, value in before.items():
        if what in now and now[what] != value:
            raise UsageError(
                f"{path.parent}: the run was begun with {what} {_shown(value)}, but the dataset now has "
                f"{_shown(now[what])}; resume with the data that it was begun with, or train a new run with --out"
            )


def _shown(value: Any) -> str:
    return one_line(", ".join(map(str, value)) if isinstance(value, list) else str(value), 80)


def _write(state: dict[str, Any], path: Path) -> None:
    """Writes a file of torch.save.

    Raises: OSError of the file system, which torch's archive writer hides behind one of its own.
    """
    with _Watched(path, "wb") as file:
        try:
            torch.save(state, file)
        except RuntimeError as error:
            if file.error is None:
                raise
            raise file.error from error


class _Watched(FileIO):
    """A file that remembers what kept it from being written."""

    error: OSError | None = None

    def write(self, content: Any) -> int:
        """The number of bytes written, which is all of them."""
        left = memoryview(content).cast("B")
        total = len(left)
        try:
            while len(left):
                left = left[super().write(left) :]
        except OSError as error:
            self.error = error
            raise
        return total


def divergence(step: int) -> str:
    """The sentence for a run whose numbers are no longer finite."""
    return (
        f"step {step}: the loss is not finite; lower the learning rate (--set optimizer.learning_rate=...) or train "
        "with --precision 32-true or bf16-mixed, and go on from the last good checkpoint with --resume, which takes "
        "both"
    )


def _is_finite(model: nn.Module) -> bool:
    sums: list[Tensor] = [parameter.detach().float().sum() for parameter in model.parameters()]
    return not sums or bool(torch.isfinite(torch.stack(sums)).all())
