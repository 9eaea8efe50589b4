"""What a user sees when something goes wrong: one sentence and an exit code, a traceback only with --debug."""

import errno
import subprocess
import sys

import pytest
import typer

from medssm.cli.errors import run
from medssm.errors import CheckpointError, DataError, UsageError
from medssm.kernels import BackendError


def outcome(error: BaseException, monkeypatch: pytest.MonkeyPatch, *options: str) -> int | str | None:
    """The exit code of a command that raises `error`."""
    app = typer.Typer(pretty_exceptions_enable=False)

    @app.command()
    def fail() -> None:
        raise error

    monkeypatch.setattr(sys, "argv", ["medssm", *options])
    with pytest.raises(SystemExit) as ended:
        run(app)
    return ended.value.code


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (UsageError("overlap 2 is outside 0 to 1"), 2, "overlap 2 is outside 0 to 1"),
        (DataError("scan.nii.gz: holds NaN"), 1, "scan.nii.gz: holds NaN"),
        (CheckpointError("w.pt: truncated"), 1, "w.pt: truncated"),
        (BackendError("selective_scan cannot run on cpu"), 1, "selective_scan cannot run on cpu"),
        (FileNotFoundError(2, "gone", "scan.nii.gz"), 1, "scan.nii.gz: no such file"),
        (OSError(errno.ENOSPC, "full", "out.nii.gz"), 1, "out.nii.gz: the disk is full"),
        (PermissionError(errno.EACCES, "denied", "/root/x"), 1, "/root/x: no permission"),
    ],
)
def test_a_users_mistake_is_one_sentence(
    error: Exception, code: int, sentence: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert outcome(error, monkeypatch) == code
    written = capsys.readouterr().err
    assert written.startswith(f"medssm: {sentence}")
    assert written.count("\n") == 1


WARNING = """
import typer, warnings
from medssm.cli.errors import run
app = typer.Typer()
app.command()(lambda: warnings.warn("slow kernels", RuntimeWarning))
run(app)
"""


def test_a_warning_is_one_line() -> None:
    result = subprocess.run([sys.executable, "-c", WARNING], capture_output=True, text=True, check=True)
    assert result.stderr == "medssm: slow kernels\n"


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="holds NaN"):
        outcome(DataError("scan.nii.gz: holds NaN"), monkeypatch, "--debug")


def test_a_defect_of_ours_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ZeroDivisionError):
        outcome(ZeroDivisionError("ours"), monkeypatch)
