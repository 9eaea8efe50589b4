"""`medssm data objects`, and the check of what it has written."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from medssm.cli.main import build_app


def medssm(*words: object) -> str:
    result = CliRunner().invoke(build_app(), [str(word) for word in words])
    return f"{result.exit_code}: {result.output}"


@pytest.fixture
def written(tmp_path: Path) -> Path:
    output = medssm("data", "objects", tmp_path / "objects", "--training", 3, "--validation", 2)
    assert output == f"0: 3 training and 2 validation images written to {tmp_path / 'objects'}\n"
    return tmp_path / "objects"


def test_objects_are_written_and_pass_the_check(written: Path) -> None:
    output = medssm("data", "check", written)
    assert output.startswith("0: ")
    assert "objects: 3 training, 2 validation; no faults" in output


def test_a_fault_of_them_ends_the_check_with_1(written: Path) -> None:
    (written / "val2017/000000000002.jpg").unlink()
    output = medssm("data", "check", written, "--json")
    assert output.startswith("1: ")
    assert '"kind": "missing-image"' in output
