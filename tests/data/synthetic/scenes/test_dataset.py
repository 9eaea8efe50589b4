"""The synthetic scenes as a dataset."""

from pathlib import Path

import pytest

from medssm.data.layouts.ade20k import load_scenes
from medssm.data.layouts.check import check_dataset
from medssm.data.synthetic.scenes import cached_scenes, dataset, write_scenes
from medssm.data.synthetic.scenes.drawing import CLASSES
from medssm.errors import UsageError


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("scene_*")}


def test_it_is_a_dataset_without_faults(tmp_path: Path) -> None:
    write_scenes(tmp_path / "scenes", training=12, validation=6)
    loaded = load_scenes(tmp_path / "scenes")
    assert loaded.names == CLASSES
    assert (len(loaded.training), len(loaded.validation)) == (12, 6)
    report = check_dataset(tmp_path / "scenes")
    assert report.findings == ()


def test_a_scene_is_the_same_whatever_the_number_of_scenes(tmp_path: Path) -> None:
    for name, counts in {"few": (1, 1), "more": (2, 2), "other": (1, 1)}.items():
        write_scenes(tmp_path / name, *counts, seed=int(name == "other"))
    few, more, other = (contents(tmp_path / name) for name in ("few", "more", "other"))
    assert few.items() <= more.items()
    assert few.keys() == other.keys()
    assert not set(few.values()) & set(other.values())
    assert len(set(more.values())) == len(more) == 8


@pytest.mark.parametrize("counts", [(0, 1), (1, 0)])
def test_a_dataset_without_scenes_is_refused(tmp_path: Path, counts: tuple[int, int]) -> None:
    with pytest.raises(UsageError, match="at least one scene to train and one to validate"):
        write_scenes(tmp_path / "scenes", *counts)


def test_the_cached_one_is_written_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDSSM_CACHE", str(tmp_path))
    folder = cached_scenes(1, 1)
    written = {path: path.stat().st_mtime_ns for path in folder.rglob("*.*")}
    assert cached_scenes(1, 1) == folder
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.*")} == written
    monkeypatch.setattr(dataset, "VERSION", dataset.VERSION + 1)
    assert len({folder, cached_scenes(1, 1), cached_scenes(2, 1), cached_scenes(1, 1, seed=1)}) == 4
