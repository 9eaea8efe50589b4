"""The synthetic dataset of objects."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medssm.data.layouts.coco import load_coco
from medssm.data.synthetic.objects import cached_objects, write_objects
from medssm.data.synthetic.objects.dataset import annotation
from medssm.data.synthetic.objects.drawing import KINDS, draw_picture
from medssm.errors import UsageError


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDSSM_CACHE", str(tmp_path / "cache"))


def test_it_is_a_dataset_of_coco(tmp_path):
    write_objects(tmp_path / "objects", training=12, validation=5)
    dataset = load_coco(tmp_path / "objects")
    assert (len(dataset.training), len(dataset.validation), dataset.names) == (12, 5, KINDS)
    for image in dataset.training:
        assert Image.open(image.path).size == image.size[::-1]
        for box, mask in zip(image.boxes, image.masks, strict=True):
            rows, columns = np.nonzero(mask)
            seen = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            np.testing.assert_allclose(box, seen, atol=1)  # a polygon's mask is a pixel smaller at some edges


def test_outlines_and_run_lengths_give_back_what_was_drawn(tmp_path):
    """Polygons to a pixel along their edge, run lengths exactly, whatever their spelling."""
    write_objects(tmp_path / "objects", training=40, validation=1)
    known = load_coco(tmp_path / "objects").training.annotations
    for image in range(40):
        drawn = draw_picture(np.random.default_rng((0, 0, image + 1))).objects
        for place, one in zip(range(*known.of(image).indices(10**6)), drawn, strict=True):
            mask = known.mask(image, place).astype(bool)
            if one.outline is None:
                np.testing.assert_array_equal(mask, one.mask)
            else:
                assert (mask & one.mask).sum() / (mask | one.mask).sum() > 0.9


def test_everything_that_cocos_files_hold_occurs():
    objects = [one for seed in range(60) for one in draw_picture(np.random.default_rng(seed)).objects]
    written = [annotation(one) for one in objects]
    assert any(isinstance(one["segmentation"], list) for one in written)
    assert any(isinstance(one["segmentation"], dict) and not one["iscrowd"] for one in written)
    assert all(isinstance(one["segmentation"]["counts"], list) for one in written if one["iscrowd"])
    assert {one["iscrowd"] for one in written} == {0, 1}
    assert {one["category_id"] for one in written} == set(range(1, 6))


def test_objects_cover_each_other_but_never_all():
    pictures = [draw_picture(np.random.default_rng(seed)) for seed in range(40)]
    assert all(one.mask.any() for picture in pictures for one in picture.objects)
    masks = [np.sum([one.mask for one in picture.objects], 0) for picture in pictures]
    assert max(mask.max() for mask in masks) == 1


def test_an_image_is_the_same_whatever_the_number_of_images(tmp_path):
    for name, counts in {"few": (1, 1), "more": (2, 2), "other": (1, 1)}.items():
        write_objects(tmp_path / name, *counts, seed=int(name == "other"))
    few, more, other = (
        {path.relative_to(tmp_path / name): path.read_bytes() for path in (tmp_path / name).rglob("*.jpg")}
        for name in ("few", "more", "other")
    )
    assert few.items() <= more.items()
    assert not set(few.values()) & set(other.values())
    assert len(set(more.values())) == 4


def test_the_cached_dataset_is_written_once():
    folder = cached_objects(2, 1)
    path = folder / "annotations" / "instances_train2017.json"
    written = path.stat().st_mtime_ns
    assert len(json.loads(path.read_text(encoding="utf-8"))["images"]) == 2
    assert cached_objects(2, 1) == folder
    assert path.stat().st_mtime_ns == written


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(UsageError, match="is not an empty folder"):
        write_objects(tmp_path, 1, 1)


def test_an_empty_part_is_refused(tmp_path):
    with pytest.raises(UsageError, match="at least one image to train"):
        write_objects(tmp_path / "objects", 0, 1)
