"""What becomes of many files of which some fail."""

import errno
import json
import os
import signal
import warnings
from pathlib import Path

import pytest
import torch

from medssm.errors import DataError
from medssm.tasks.batch import FileResults, Watch, run_on_files
from medssm.tasks.under_way import MARKER, UnderWay


class Told(Watch):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[tuple[object, ...]] = []

    def begun(self, file: Path, number: int, count: int) -> None:
        self.lines.append((file.name, number, count))

    def failed(self, file: Path, sentence: str, error: Exception | None) -> None:
        self.lines.append((file.name, type(error).__name__))

    def finished(self, file: Path, found: object, cost: object) -> None:
        self.lines.append((file.name, found))


ERRORS: dict[str, tuple[BaseException, str]] = {
    "data": (DataError("cannot be read"), "cannot be read"),
    "gpu": (torch.OutOfMemoryError("CUDA out of memory"), "memory ran out; close other programs"),
    "cpu": (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "memory ran out; close other programs"),
    "memory": (MemoryError(), "memory ran out; close other programs"),
    "value": (ValueError("a\x1b[2J\nb"), r"ValueError: a\x1b[2J; b; this is a defect of medssm, --debug shows where"),
    "key": (KeyError("k"), "KeyError: 'k'; this is a defect of medssm"),
    "shape": (RuntimeError("shape mismatch " * 100), "RuntimeError: shape mismatch"),
    "full": (OSError(errno.ENOSPC, "No space left on device"), "the disk is full; free some space"),
    "temporary": (PermissionError(errno.EACCES, "Permission denied", "out/.writing-x.nii.gz"), "out: no permission"),
    "recursion": (RecursionError("deep"), "RecursionError: deep"),
}


def run(file: Path, _: object) -> str:
    if file.stem in ERRORS:
        raise ERRORS[file.stem][0]
    return file.stem


def test_whatever_happens_to_a_file_the_others_go_on_and_it_gets_its_sentence() -> None:
    files = [Path(f"{name}.png") for name in ("first", *ERRORS, "last")]
    told = Told()
    results = run_on_files(files, run, told)
    assert results.found == {files[0]: "first", files[-1]: "last"}
    assert list(results.failed) == files[1:-1]
    for file in files[1:-1]:
        sentence = results.failed[file]
        assert sentence.startswith(f"{file}: {ERRORS[file.stem][1]}")
        assert sentence.isprintable()
        assert len(sentence) < 400
    assert told.lines[:4] == [
        ("first.png", 1, 12),
        ("first.png", "first"),
        ("data.png", 2, 12),
        ("data.png", "DataError"),
    ]
    assert set(results.costs) == set(files)
    assert all(cost.seconds >= 0 for cost in results.costs.values())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_with_what_was_done(number: int) -> None:
    files = [Path(name) for name in "abc"]

    def stopped_at_b(file: Path, _: object) -> str:
        if file.name == "b":
            os.kill(os.getpid(), number)
        return file.name

    before = signal.getsignal(number)
    results = run_on_files(files, stopped_at_b)
    assert (results.found, results.signal, results.stopped) == ({files[0]: "a"}, number, files[1])
    assert signal.getsignal(number) is before


def test_notes_and_warnings_are_kept_with_their_file() -> None:
    def noting(file: Path, tell) -> None:
        tell.note(f"note {file}")
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn(f"warning {file}", stacklevel=1)

    def quiet(*_: object, **__: object) -> None: ...

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(warnings, "showwarning", quiet)
        results = run_on_files([Path("a"), Path("b")], noting)
        assert warnings.showwarning is quiet
    assert results.notes == {Path(name): [f"note {name}", f"warning {name}"] for name in "ab"}


def test_files_are_skipped_with_the_reason() -> None:
    results = run_on_files([Path("a"), Path("b")], run, skip=lambda file: "is there" if file.name == "a" else None)
    assert results.skipped == {Path("a"): "is there"}
    assert results.found == {Path("b"): "b"}


CRASH = """
import os, signal, sys
from pathlib import Path
from medssm.tasks.batch import run_on_files
from medssm.tasks.under_way import UnderWay
def run(file, _):
    if file.name == "b":
        os.kill(os.getpid(), signal.SIGKILL)
    return file.name
folder = Path(sys.argv[1])
entry = lambda file, found: {"file": str(file), "found": found}
run_on_files([folder / name for name in "abc"], run, under_way=UnderWay(folder, "test"), entry=entry)
"""


def crash(folder: Path) -> None:
    """A process goes through a, and is killed at b."""
    import subprocess
    import sys

    ended = subprocess.run([sys.executable, "-c", CRASH, str(folder)], check=False)
    assert ended.returncode == -signal.SIGKILL


def journals(folder: Path) -> list[Path]:
    return list(folder.glob(f"{MARKER}*"))


def go_on(folder: Path, names: str, **options: bool) -> FileResults[str]:
    under_way = UnderWay(folder, "test")
    results = run_on_files([folder / name for name in names], run, under_way=under_way, **options)
    under_way.close()
    return results


def test_after_a_crash_the_next_process_goes_on_behind_it(tmp_path: Path) -> None:
    crash(tmp_path)
    [left] = journals(tmp_path)
    assert json.loads(left.read_text(encoding="utf-8").splitlines()[0])["command"] == "test"
    other = UnderWay(tmp_path, "other")
    assert (other.crashed, other.found) == (set(), {})
    other.close()
    assert journals(tmp_path) == [left]

    results = go_on(tmp_path, "abc")
    assert list(results.found.values()) == ["a", "c"]
    assert results.failed == {
        tmp_path
        / "b": f"{tmp_path / 'b'}: ended the process last time; skipped: name it alone, or give --overwrite, to "
        "try it again"
    }
    assert len(journals(tmp_path)) == 1  # it is remembered until somebody tries it again
    assert list(go_on(tmp_path, "abc").failed) == [tmp_path / "b"]


@pytest.mark.parametrize(("names", "options"), [("b", {}), ("abc", {"try_crashed": True})])
def test_a_file_that_crashed_is_tried_again_when_that_is_meant(tmp_path: Path, names: str, options: dict) -> None:
    crash(tmp_path)
    assert list(go_on(tmp_path, names, **options).found.values()) == list(names)
    assert journals(tmp_path) == []


def test_what_a_crashed_process_has_found_is_not_lost(tmp_path: Path) -> None:
    crash(tmp_path)
    second = UnderWay(tmp_path, "test")
    assert second.found == {str(tmp_path / "a"): {"file": str(tmp_path / "a"), "found": "a"}}
    second._journal.close()  # as if this one were killed, too
    third = UnderWay(tmp_path, "test")
    assert third.found == second.found
    third.close()


def test_the_journal_of_a_process_that_lives_is_left_alone(tmp_path: Path) -> None:
    first = UnderWay(tmp_path, "test")
    first.begin(tmp_path / "a")
    second = UnderWay(tmp_path, "test")
    assert second.crashed == set()
    second.close()
    assert len(journals(tmp_path)) == 1
    first.close()
    assert journals(tmp_path) == []


@pytest.mark.parametrize("full_from", [0, 500])
def test_a_journal_that_the_disk_has_no_room_for_ends_nothing(full_from: int, tmp_path: Path) -> None:
    """What was found before is not lost, and no file is said to have ended the process."""
    import resource

    crash(tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (full_from, limits[1]))
    try:
        under_way = UnderWay(tmp_path, "test")
        entry = {"file": str(tmp_path / "c"), "found": "c" * 300}
        results = run_on_files([tmp_path / "c"] * 2, run, under_way=under_way, entry=lambda file, found: entry)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (list(results.found), results.failed) == ([tmp_path / "c"], {})
    after = UnderWay(tmp_path, "test")
    assert (after.crashed, list(after.found)) == ({str(tmp_path / "b")}, [str(tmp_path / "a")])
    after.close()


def test_where_files_cannot_be_locked_no_journal_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing would tell the journal of a process that crashed from that of one that lives."""
    crash(tmp_path)
    left = journals(tmp_path)
    monkeypatch.setattr("medssm.tasks.under_way.lock", lambda _: None)
    assert list(go_on(tmp_path, "abc").found.values()) == ["a", "b", "c"]
    assert journals(tmp_path) == left


def test_a_reader_of_what_is_told_that_goes_away_stops_all_and_blames_no_file() -> None:
    def piped(file: Path, tell: object) -> None:
        raise BrokenPipeError

    results = run_on_files([Path("a"), Path("b")], piped)
    assert (results.failed, results.stopped, results.signal) == ({}, Path("a"), 13)
