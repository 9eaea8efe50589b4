"""What went wrong with a file among many, for people."""

from pathlib import Path

import torch

from medssm.errors import MedssmError


def ran_out_of_memory(error: Exception) -> bool:
    """Whether torch was refused memory; for what the system refuses on the CPU it has no exception of its own."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def failure_sentence(path: Path, error: Exception, more_memory: str) -> str:
    """What went wrong with a file, for people; a defect of ours is raised on.

    Args:
        more_memory: what to do where memory ran out.
    """
    if ran_out_of_memory(error):
        return f"{path}: memory ran out; {more_memory}"
    if isinstance(error, RuntimeError):
        raise error
    if isinstance(error, OSError) and not isinstance(error, MedssmError):
        return f"{error.filename or path}: {error.strerror or error}"
    text = str(error)
    return text if str(path) in text or path.name in text else f"{path}: {text}"
