"""What happens while a command runs, in a file."""

import logging
import shlex
import sys
from pathlib import Path

import typer

from medssm import __version__
from medssm.errors import UsageError, quoted

LINES = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def start_log(context: typer.Context, path: Path | None) -> Path | None:
    """Has the package's loggers add lines to a file until the command ends.

    Raises: UsageError if it cannot be written.
    """
    if path is None or context.resilient_parsing:
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = logging.FileHandler(path, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        name = quoted(str(path))
        raise UsageError(f"{name}: cannot be written ({error.strerror}); name another file for --log") from error
    handler.setFormatter(logging.Formatter(LINES))
    logger = logging.getLogger("medssm")
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)

    def end() -> None:
        logger.removeHandler(handler)
        handler.close()

    context.call_on_close(end)
    logger.info("medssm %s: %s", __version__, shlex.join(sys.argv[1:]))
    return path
