"""Claims: held by one process, taken over from one that ended."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from medssm.errors import DataError
from medssm.tasks import claims
from medssm.tasks.batch import Later, LeftOut
from medssm.tasks.claims import SILENT, Claim, claimed

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no locks that say whether an owner lives")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".medssm" / "a.claim"


def hold(path: Path, is_last_try: bool = False, is_meant: bool = False) -> Claim:
    """The claim as it was while it was held."""
    with claimed(path, is_last_try=is_last_try, is_meant=is_meant) as claim:
        assert path.exists()
        return claim


def die(path: Path, *options: str) -> None:
    """A process is killed that holds the claim and was about to write a.nii.gz."""
    code = (
        "import os, signal, sys; from pathlib import Path; from medssm.tasks.claims import claimed\n"
        "path = Path(sys.argv[1])\n"
        "with claimed(path, is_last_try='last' in sys.argv, is_meant=False) as claim:\n"
        "    claim.will_write([path.parent.parent / 'a.nii.gz'])\n"
        "    os.kill(os.getpid(), signal.SIGKILL)"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(path), *options], check=False)
    assert ended.returncode == -signal.SIGKILL


def test_a_claim_is_held_by_one_and_gone_afterwards(path: Path) -> None:
    with (
        claimed(path, is_last_try=False, is_meant=False) as claim,
        pytest.raises(LeftOut, match=f"process {os.getpid()} on"),
    ):
        hold(path, is_meant=True)
    assert (claim.deaths, claim.unfinished) == (0, frozenset())
    assert not path.exists()
    with pytest.raises(KeyboardInterrupt), claimed(path, is_last_try=False, is_meant=False):
        raise KeyboardInterrupt
    assert not path.exists()
    hold(path)


def test_what_a_process_ended_at_is_tried_once_more_after_all_others(path: Path) -> None:
    die(path)
    with pytest.raises(Later, match="a process ended at it; it is tried again after the others"):
        hold(path)
    die(path, "last")
    for is_last_try in (False, True):
        with pytest.raises(DataError, match="ended two processes; name it alone, or give --overwrite"):
            hold(path, is_last_try)
    claim = hold(path, is_meant=True)
    assert (claim.deaths, claim.unfinished) == (2, {"a.nii.gz"})
    assert not path.exists()


def test_a_claim_of_another_host_counts_while_it_shows_life(path: Path) -> None:
    path.parent.mkdir()
    path.write_text(json.dumps({"host": "elsewhere", "pid": 7, "deaths": 0, "outputs": []}), encoding="utf-8")
    with pytest.raises(LeftOut, match="process 7 on elsewhere is at it"):
        hold(path, is_last_try=True)
    silent_since = time.time() - SILENT - 1
    os.utime(path, (silent_since, silent_since))
    assert hold(path, is_last_try=True).deaths == 1


def test_a_claim_that_is_being_written_is_left_alone(path: Path) -> None:
    path.parent.mkdir()
    path.touch()
    with pytest.raises(LeftOut, match="another process is at it"):
        hold(path, is_last_try=True)


def test_a_claim_that_cannot_be_written_is_not_left_behind(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a full disk; empty it would count for an hour."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Claim, "_write", full)
        with pytest.raises(OSError, match="No space left"):
            hold(path)
    assert not path.exists()
    hold(path)


def test_life_is_shown_now_and_then(path: Path) -> None:
    with claimed(path, is_last_try=False, is_meant=False) as claim:
        os.utime(path, (0, 0))
        claim.show_life()
        assert path.stat().st_mtime == 0
        claim._told -= 61
        claim.show_life()
        assert path.stat().st_mtime > 0


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK])
def test_where_there_are_no_locks_signs_of_life_count(path: Path, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", no_locks)
    with claimed(path, is_last_try=False, is_meant=False), pytest.raises(LeftOut, match="is at it"):
        hold(path)
    assert not path.exists()
    die(path)
    with pytest.raises(LeftOut, match="is at it"):
        hold(path, is_last_try=True)
    os.utime(path, (0, 0))
    assert hold(path, is_last_try=True).deaths == 1
    assert not path.exists()


def test_without_locks_of_the_system_a_claim_is_closed_before_it_is_removed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "HAS_LOCKS", False)
    monkeypatch.setattr("medssm.tasks.locks.fcntl", None)
    unlink, was_closed = Path.unlink, []

    def looked_at(self: Path, missing_ok: bool = False) -> None:
        was_closed.append(claim._file.closed)
        unlink(self, missing_ok)

    monkeypatch.setattr(Path, "unlink", looked_at)
    with claimed(path, is_last_try=False, is_meant=False) as claim:
        pass
    assert was_closed == [True]
    assert not path.exists()


def test_a_claim_that_another_host_took_over_is_left_to_it(path: Path) -> None:
    other = json.dumps({"host": "elsewhere", "pid": 7, "deaths": 1, "outputs": []})
    with claimed(path, is_last_try=False, is_meant=False) as claim:
        path.write_text(other, encoding="utf-8")
        os.utime(path, (0, 0))
        claim._told -= 61
        claim.show_life()
        assert path.stat().st_mtime == 0
    assert path.read_text(encoding="utf-8") == other


def test_a_claim_that_another_host_took_over_and_ended_is_not_missed(path: Path) -> None:
    with claimed(path, is_last_try=False, is_meant=False) as claim:
        path.unlink()
        claim._told -= 61
        claim.show_life()
    assert not path.exists()
