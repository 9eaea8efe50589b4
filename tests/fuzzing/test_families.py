"""Damaged files of every kind are read, or refused in one sentence. `make fuzz` tries thousands more."""

import sys
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from families import FAMILIES
from mutation import damaged
from trial import judged


def check(name: str, files: list[Path], seed: int) -> None:
    """Damages one of the files as the seed says, opens it and puts it back."""
    file = files[seed % len(files)]
    whole = file.read_bytes()
    try:
        file.write_bytes(damaged(whole, file.name, Random(seed)))
        verdict = judged(FAMILIES[name].read, file)
    finally:
        file.write_bytes(whole)
    assert verdict.outcome in ("ok", "own"), (file.name, seed, verdict)


@pytest.fixture(scope="module", params=FAMILIES)
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[Path]]:
    """The name of a family and whole files of it."""
    return request.param, FAMILIES[request.param].write(tmp_path_factory.mktemp(request.param))


def test_whole_files_are_read(family: tuple[str, list[Path]]) -> None:
    name, files = family
    for file in files:
        assert judged(FAMILIES[name].read, file).outcome == "ok", file


@pytest.mark.parametrize("examples", [25, pytest.param(300, marks=pytest.mark.slow)])
def test_damaged_files_are_read_or_refused_in_a_sentence(family: tuple[str, list[Path]], examples: int) -> None:
    """Always the same ones."""

    @settings(max_examples=examples, deadline=None, derandomize=True, database=None)
    @given(seed=st.integers(0, 1 << 32))
    def damage(seed: int) -> None:
        check(*family, seed)

    damage()
