"""last.ckpt: all that is needed to go on as if the run had never stopped."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from medssm.errors import CheckpointError, MedssmError
from medssm.files import atomic_path


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
    path: Path, model: nn.Module, optimizer: Any, precision: Any, progress: Progress, average: nn.Module | None = None
) -> None:
    """Writes the state of a run whole or not at all, so that a full disk leaves the previous one.

    Args:
        average: the moving average of the network, where there is one.

    Raises: MedssmError if the weights are no longer finite; OSError of the file system.
    """
    if not _is_finite(model):
        raise MedssmError(divergence(progress.step))
    state = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "precision": precision.state_dict(),
        "progress": asdict(progress),
        "average": average.state_dict() if average else None,
    }
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        torch.save(state, file)


def load_checkpoint(
    path: Path, model: nn.Module, optimizer: Any, precision: Any, average: nn.Module | None = None
) -> Progress:
    """Puts a saved state back and says how far it had come.

    Raises: CheckpointError if the file is damaged or of another network.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        precision.load_state_dict(state["precision"])
        if average:
            average.load_state_dict(state["average"])
        return Progress(**state["progress"])
    except (RuntimeError, KeyError, ValueError, TypeError, AttributeError, EOFError) as error:
        reason = str(error).strip().splitlines()[0]
        raise CheckpointError(
            f"{path}: not a checkpoint of this run ({reason}); train again into a new folder"
        ) from error


def divergence(step: int) -> str:
    """The sentence for a run whose numbers are no longer finite."""
    return (
        f"step {step}: the loss is not finite; lower the learning rate (--set optimizer.learning_rate=...) or train "
        "with --precision 32-true or bf16-mixed, and go on from the last good checkpoint with --resume"
    )


def _is_finite(model: nn.Module) -> bool:
    sums: list[Tensor] = [parameter.detach().float().sum() for parameter in model.parameters()]
    return not sums or bool(torch.isfinite(torch.stack(sums)).all())
