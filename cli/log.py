"""What happens while a command runs, in a file."""

import logging
import shlex
import sys
from contextlib import suppress
from pathlib import Path

import typer

from medssm import __version__
from medssm.errors import UsageError, quoted

LINES = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class _LogFile(logging.FileHandler):
    """Lines in a file, until one cannot be written: that is told once, and is no reason to end what is logged."""

    def handleError(self, record: logging.LogRecord) -> None:
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
        elif not self.filters:
            self.addFilter(lambda _: False)
            typer.echo(f"medssm: {self.baseFilename}: the log ends here ({error.strerror})", err=True)


def start_log(context: typer.Context, path: Path | None) -> Path | None:
    """Has the package's loggers add lines to a file until the command ends.

    Raises: UsageError if it cannot be written.
    """
    if path is None or context.resilient_parsing:
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = _LogFile(path, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        name = quoted(str(path))
        raise UsageError(f"{name}: cannot be written ({error.strerror}); name another file for --log") from error
    handler.setFormatter(logging.Formatter(LINES))
    logger = logging.getLogger("medssm")
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)

    def end() -> None:
        logger.removeHandler(handler)
        with suppress(OSError):  # which was told
            handler.close()

    context.call_on_close(end)
    logger.info("medssm %s: %s", __version__, shlex.join(sys.argv[1:]))
    return path
