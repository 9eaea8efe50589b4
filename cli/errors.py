"""One table from exception to sentence and exit code."""

import errno
import os
import sys
import threading
import warnings
from io import TextIOWrapper

import typer

from medssm.errors import MedssmError, UsageError, quoted, reason_of

NOBODY_READS = 128 + 13  # as of a process that SIGPIPE ends

_debugging = False

_NO_MEMORY = (
    "memory ran out; give it less at a time (train: --set run.batch_size=1 or smaller crops; predict: --memory 2G; "
    "--device cpu for a GPU that is too small), or more memory"
)
_TRY = "try other sizes or settings or --device cpu, or see with --debug where it happens"


def explain(error: BaseException) -> tuple[str, int] | None:
    """The sentence and exit code for an exception that a user can cause; None for a defect of ours."""
    match error:
        case UsageError():
            return str(error), 2
        case MedssmError():
            return str(error), 1
        case OSError(errno=errno.ENOSPC):
            return f"{error.filename or 'output'}: the disk is full; free some space and run the same command again", 1
        case OSError(errno=errno.EACCES) | OSError(errno=errno.EROFS):
            return f"{error.filename or 'output'}: no permission to read or write here; choose another folder", 1
        case FileNotFoundError():
            return f"{error.filename}: no such file or folder", 1
        case OSError(errno=errno.ENAMETOOLONG):
            return f"{quoted(str(error.filename))}: the name is too long for the file system; give a shorter one", 1
        case ValueError() if "embedded null" in str(error):
            return "a name in a recipe or a list holds a NUL character, which no file's does; correct it", 1
        case KeyboardInterrupt():
            return "stopped by Ctrl-C", 130
        case RuntimeError() if _is_backend_error(error):
            return str(error), 1
        case Exception() if _ran_out_of_memory(error):
            return _NO_MEMORY, 1
        case RuntimeError() if not isinstance(error, RecursionError | NotImplementedError):  # what torch raises
            return f"torch could not compute this: {reason_of(error)}; {_TRY}", 1
    return None


def _ran_out_of_memory(error: Exception) -> bool:
    """Torch's exceptions are told by names and words: it is not imported for a command that does not use it."""
    said = ("allocate memory", "failed to map")  # the second of a library that could not be loaded
    return (
        isinstance(error, MemoryError)
        or "OutOfMemory" in type(error).__name__
        or any(words in str(error) for words in said)
    )


def _tame_warnings() -> None:
    """One line each, without the code that raised it; and not what MONAI says to itself about its next version."""
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"monai\.")
    warnings.formatwarning = lambda message, *_, **__: f"medssm: {message}\n"


def tame_threads() -> None:
    """No traceback of a thread that a disk refused: who waits for its work is told, and tells it."""
    threading.excepthook = _tell_of_thread


def _tell_of_thread(ended: threading.ExceptHookArgs) -> None:
    if _debugging or not issubclass(ended.exc_type, OSError):
        threading.__excepthook__(ended)


def _is_backend_error(error: BaseException) -> bool:
    """Asked without importing the kernels, and torch with them, for a command that never came to use them."""
    kernels = sys.modules.get("medssm.kernels")
    return kernels is not None and isinstance(error, kernels.BackendError)


def _is_told_by_another_process() -> bool:
    """Asked where a training was begun, which alone may have several."""
    hardware = sys.modules.get("medssm.training.hardware")
    return hardware is not None and hardware.is_told_by_another()


def is_debugging() -> bool:
    """Whether tracebacks are wanted."""
    return _debugging


def run(app: typer.Typer) -> None:
    """Runs the application; with --debug anywhere on the command line tracebacks are shown."""
    global _debugging
    _debugging = "--debug" in sys.argv
    if _debugging:
        sys.argv.remove("--debug")
    else:
        _tame_warnings()
    sys.stdout, sys.stderr = (stream or open(os.devnull, "w") for stream in (sys.stdout, sys.stderr))  # noqa: SIM115  as long as the process
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a name that the terminal cannot show is no reason to end
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except SystemExit as ended:
        if isinstance(ended.__context__, BrokenPipeError):  # for which Typer has the code of a failure
            sys.exit(NOBODY_READS)
        raise
    except (Exception, KeyboardInterrupt) as error:
        explained = explain(error)
        if _debugging or explained is None:
            raise
        sentence, code = explained
        if not _is_told_by_another_process():
            typer.echo(f"medssm: {sentence}", err=True)
        sys.exit(code)
