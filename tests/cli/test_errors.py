"""What a user sees when something goes wrong: one sentence and an exit code, a traceback only with --debug."""

import errno
import subprocess
import sys
import threading

import pytest
import torch
import typer

from medssm.cli.errors import run, tame_threads
from medssm.errors import CheckpointError, DataError, GeometryError, MedssmError, UsageError
from medssm.kernels import BackendError
from medssm.training import hardware  # noqa: F401  a training was begun


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
        (MemoryError(), 1, "memory ran out; give it less at a time (train: --set run.batch_size=1"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried"), 1, "memory ran out; give it less at a time"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), 1, "memory ran out"),
        (RuntimeError("mat1 and mat2\nhave"), 1, "torch could not compute this: mat1 and mat2; try other sizes"),
        (PermissionError(errno.EACCES, "denied", "/root/x"), 1, "/root/x: no permission"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), 1, "memory ran out"),
        (ImportError("x.so: failed to map segment from shared object"), 1, "memory ran out"),
    ],
)
def test_a_users_mistake_is_one_sentence(
    error: Exception, code: int, sentence: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert outcome(error, monkeypatch) == code
    written = capsys.readouterr().err
    assert written.startswith(f"medssm: {sentence}")
    assert written.count("\n") == 1


@pytest.mark.parametrize(("error", "lines"), [(OSError(errno.ENOSPC, "full"), 0), (KeyError("ours"), 1)])
def test_what_a_disk_refuses_to_a_thread_is_no_traceback(
    error: Exception, lines: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused() -> None:
        raise error

    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    tame_threads()
    thread = threading.Thread(target=refused)
    thread.start()
    thread.join()
    assert capsys.readouterr().err.count("Traceback") == lines


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits a process as Linux does")
def test_a_limit_that_leaves_no_room_for_torch_is_one_sentence() -> None:
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (200 << 20, 200 << 20))\n"
        "from medssm.cli.main import main; main()"
    )
    command = [sys.executable, "-c", code, "doctor"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stderr.startswith("medssm: the limit on this process's address space (ulimit -v) leaves no room")
    assert result.stderr.count("\n") == 1


WARNING = """
import typer, warnings
from medssm.cli.errors import run, tame_threads
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


@pytest.mark.parametrize("defect", [ZeroDivisionError("ours"), RecursionError("ours"), NotImplementedError("ours")])
def test_a_defect_of_ours_is_not_hidden(defect: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(type(defect)):
        outcome(defect, monkeypatch)


def test_what_torch_raises_has_its_traceback_with_debug(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RuntimeError, match="mat1"):
        outcome(RuntimeError("mat1"), monkeypatch, "--debug")


def test_of_processes_that_begin_alike_and_fail_alike_the_first_one_tells(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for rank, lines in (("0", 1), ("1", 0)):
        monkeypatch.setenv("LOCAL_RANK", rank)
        assert outcome(UsageError("no such recipe"), monkeypatch) == 2
        assert capsys.readouterr().err.count("\n") == lines


@pytest.mark.parametrize("kind", [MedssmError, UsageError, DataError, GeometryError, CheckpointError])
def test_a_message_holds_nothing_that_a_terminal_would_act_on(kind):
    message = str(kind("no \x1b[2Jcase 'a\nb\ud800\u202e'"))
    assert message == r"no \x1b[2Jcase 'a; b\ud800\u202e'"
