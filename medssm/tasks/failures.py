"""What went wrong with a file among many, for people."""

import errno
from pathlib import Path

import torch

from medssm.errors import LONGEST, MedssmError, one_line
from medssm.files import UNFINISHED
from medssm.kernels import BackendError

_OF_THE_SYSTEM = {
    errno.ENOSPC: "the disk is full; free some space and run the same command again",
    errno.EACCES: "no permission to read or write here; choose another folder",
    errno.EROFS: "nothing can be written here; choose another folder",
}


def ran_out_of_memory(error: Exception) -> bool:
    """Whether memory was refused; for what the system refuses torch on the CPU it has no exception of its own."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def failure_sentence(path: Path, error: Exception, more_memory: str) -> str:
    """What went wrong with a file, for people, in one line that names the file.

    Args:
        more_memory: what to do where memory ran out.
    """
    if ran_out_of_memory(error):
        return f"{path}: memory ran out; {more_memory}"
    if isinstance(error, MedssmError | BackendError):
        text = one_line(str(error), LONGEST + len(str(path)))
    elif isinstance(error, OSError):
        text = _of_the_system(path, error)
    else:
        shown = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        text = f"{one_line(shown)}; this is a defect of medssm, --debug shows where"
    return text if str(path) in text or path.name in text else f"{path}: {text}"


def _of_the_system(path: Path, error: OSError) -> str:
    """With the file that it is about; of one that was being written, only the folder has a name that a person knows."""
    reason = _OF_THE_SYSTEM.get(error.errno or 0) or one_line(error.strerror or str(error) or type(error).__name__)
    about = Path(str(error.filename)) if error.filename else path
    if about.name.startswith(UNFINISHED):
        about = about.parent
    return reason if about == path else f"{path}: {about}: {reason}"
