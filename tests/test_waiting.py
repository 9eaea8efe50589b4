"""How threads wait: told to OpenMP by the command line alone, and only where the user has not."""

import os
import subprocess
import sys

import pytest

from medssm import waiting
from medssm.waiting import CHOICES, SLEEPING, keep_threads_awake, let_threads_sleep


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has chosen yet, and what is set is gone after the test."""
    for name in CHOICES:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setattr(waiting, "_ours", {})


def chosen() -> dict[str, str]:
    return {name: os.environ[name] for name in CHOICES if name in os.environ}


def test_threads_sleep_where_the_user_has_not_chosen() -> None:
    let_threads_sleep()
    assert chosen() == SLEEPING


@pytest.mark.parametrize("name", CHOICES)
def test_what_the_user_has_chosen_stays(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "active")
    let_threads_sleep()
    assert chosen() == {name: "active"}
    keep_threads_awake({name: "passive"})
    assert chosen() == {name: "active"}


def test_a_measurement_takes_back_what_the_command_has_set() -> None:
    let_threads_sleep()
    keep_threads_awake({"OMP_WAIT_POLICY": "active"})
    assert chosen() == {"OMP_WAIT_POLICY": "active"}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks GNU's OpenMP, which says what it has read")
def test_the_command_line_tells_openmp_before_torch_loads_it() -> None:
    code = "from medssm.cli.main import main\ntry: main()\nfinally: import torch"
    environment = {**os.environ, "OMP_DISPLAY_ENV": "verbose"}
    result = subprocess.run(
        [sys.executable, "-c", code, "--version"], env=environment, capture_output=True, text=True, check=True
    )
    assert "GOMP_SPINCOUNT = '1000'" in result.stderr
    assert "OMP_WAIT_POLICY = 'PASSIVE'" in result.stderr
