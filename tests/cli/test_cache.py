"""`medssm cache` as it is typed."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from medssm.cli.main import build_app
from medssm.errors import UsageError


def run(*arguments: str) -> str:
    result = CliRunner().invoke(build_app(), ["cache", *arguments])
    if result.exception:
        raise result.exception
    return result.output


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MEDSSM_CACHE", str(tmp_path / "cache"))
    for name, size in (("preprocessed/a.safetensors", 3 << 20), ("shapes/v1/train/x.jpg", 1 << 20)):
        (tmp_path / "cache" / name).parent.mkdir(parents=True)
        (tmp_path / "cache" / name).write_bytes(bytes(size))
    return tmp_path / "cache"


def test_it_shows_each_kind_with_its_files_and_size(cache: Path) -> None:
    rows = [line.split("│")[1:-1] for line in run().splitlines() if line.startswith("│")]
    shown = {row[0].strip(): (int(row[2]), float(row[3])) for row in rows}
    assert shown == {"preprocessed": (1, 3.0), "shapes": (1, 1.0)}


def test_it_deletes_one_kind_or_all(cache: Path) -> None:
    assert "3.0 MiB deleted" in run("preprocessed", "--clear")
    assert [path.name for path in cache.iterdir()] == ["shapes"]
    assert "1.0 MiB deleted" in run("--clear")
    assert not list(cache.iterdir())
    assert "0.0 MiB deleted" in run("--clear")


def test_an_unknown_kind_is_named_beside_those_that_are_there(cache: Path) -> None:
    with pytest.raises(UsageError, match="nothing of the kind 'scans'; it holds preprocessed, shapes"):
        run("scans", "--clear")
    assert (cache / "preprocessed").is_dir()
