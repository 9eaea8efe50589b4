from pathlib import Path

import numpy as np
import pytest

from medssm.data.images.reading import image_facts
from medssm.data.layouts.imagenet import load_image_dataset
from medssm.data.synthetic.shapes import cached_shapes, dataset, write_shapes
from medssm.data.synthetic.shapes.patterns import PATTERNS, draw_pattern
from medssm.errors import UsageError


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.jpg")}


def test_it_is_a_folder_of_classes(tmp_path: Path) -> None:
    write_shapes(tmp_path / "shapes", training=3, validation=2)
    loaded = load_image_dataset(tmp_path / "shapes")
    assert loaded.classes == tuple(sorted(PATTERNS)) == tuple(PATTERNS)
    assert np.bincount(loaded.training.labels).tolist() == [3] * 10
    assert np.bincount(loaded.validation.labels).tolist() == [2] * 10
    assert image_facts(loaded.training[0].path).format == "JPEG"


def test_an_image_is_the_same_whatever_the_number_of_images(tmp_path: Path) -> None:
    for name, counts in {"few": (1, 1), "more": (2, 2), "other": (1, 1)}.items():
        write_shapes(tmp_path / name, *counts, seed=int(name == "other"))
    few, more, other = (contents(tmp_path / name) for name in ("few", "more", "other"))
    assert few.items() <= more.items()
    assert few.keys() == other.keys()
    assert not set(few.values()) & set(other.values())
    assert len(set(more.values())) == len(more) == 40


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="is not an empty folder"):
        write_shapes(tmp_path, 1, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("counts", [(0, 1), (1, 0)])
def test_a_dataset_without_images_is_refused(tmp_path: Path, counts: tuple[int, int]) -> None:
    with pytest.raises(UsageError, match="at least one image to train and one to validate"):
        write_shapes(tmp_path / "shapes", *counts)


def test_the_cached_one_is_written_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDSSM_CACHE", str(tmp_path))
    folder = cached_shapes(1, 1)
    written = {path: path.stat().st_mtime_ns for path in folder.rglob("*.jpg")}
    assert cached_shapes(1, 1) == folder
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.jpg")} == written
    monkeypatch.setattr(dataset, "VERSION", dataset.VERSION + 1)
    assert len({folder, cached_shapes(1, 1), cached_shapes(2, 1), cached_shapes(1, 1, seed=1)}) == 4


def test_a_half_written_one_is_never_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDSSM_CACHE", str(tmp_path))

    def stop_at_rings(name: str, generator: np.random.Generator) -> object:
        if name == "rings":
            raise KeyboardInterrupt
        return draw_pattern(name, generator)

    monkeypatch.setattr(dataset, "draw_pattern", stop_at_rings)
    with pytest.raises(KeyboardInterrupt):
        cached_shapes(1, 1)
    assert not list((tmp_path / "shapes").iterdir())
