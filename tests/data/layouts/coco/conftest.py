"""Two small images with a polygon, a run length and a crowd region, in COCO's layout."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

# (H, W); row-major masks of the objects below were worked out by hand.
SIZE = (40, 50)


class Folder:
    """A dataset that a test lays out."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.content = {
            "info": {"year": 2017},
            "images": [
                {"id": 7, "file_name": "b.jpg", "height": 40, "width": 50},
                {"id": 3, "file_name": "a.jpg", "height": 40, "width": 50},
                {"id": 4, "file_name": "empty.jpg", "height": 40, "width": 50},
            ],
            "annotations": [
                annotation(100, 3, 5, [[10, 5, 30, 5, 30, 25, 10, 25]], [10, 5, 20, 20], 400),
                annotation(101, 7, 2, run_lengths(slice(0, 10), slice(0, 50)), [0, 0, 50, 10], 500, iscrowd=1),
                annotation(102, 3, 2, run_lengths(slice(20, 40), slice(40, 50)), [40, 20, 10, 20], 200),
            ],
            "categories": [{"id": 5, "name": "dog"}, {"id": 2, "name": "cat"}],
        }

    def write(self, root: str = "{part}2017", lists: str = "annotations/instances_{part}2017.json") -> Path:
        """Both parts with the same content."""
        for part in ("train", "val"):
            self.write_list(lists.format(part=part))
            for image in self.content["images"]:
                path = self.path / root.format(part=part) / image["file_name"]
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(np.zeros((*SIZE, 3), np.uint8)).save(path)
        return self.path

    def write_list(self, name: str) -> Path:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(self.content), encoding="utf-8")
        return path


def annotation(
    identity: int, image: int, category: int, segmentation: Any, bbox: list[float], area: float, iscrowd: int = 0
) -> dict[str, Any]:
    """As COCO writes it."""
    fields = {"id": identity, "image_id": image, "category_id": category, "bbox": bbox, "area": area}
    return {**fields, "iscrowd": iscrowd, "segmentation": segmentation}


def run_lengths(rows: slice, columns: slice) -> dict[str, Any]:
    """Those of a rectangle: down each column in turn, beginning with the number of zeros."""
    mask = np.zeros(SIZE, np.uint8)
    mask[rows, columns] = 1
    flat = mask.T.ravel()
    edges = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff([0, *edges, flat.size]).tolist()
    return {"size": list(SIZE), "counts": [0, *counts] if flat[0] else counts}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDSSM_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "coco")
