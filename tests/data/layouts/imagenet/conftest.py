"""Folders of images of a few pixels, in every layout that people have ImageNet in."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import scipy.io
from PIL import Image


class Folder:
    """A dataset that a test lays out.

    The three classes are ImageNet's, sorted; their ILSVRC IDs are those of the devkit, where fox comes first.
    """

    tench, goldfish, fox = wnids = ("n01440764", "n01443537", "n02119789")
    ilsvrc_id: ClassVar = {fox: 1, tench: 449, goldfish: 450}

    def __init__(self, path: Path) -> None:
        self.path = path
        content = BytesIO()
        Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(content, "JPEG")
        self.jpeg = content.getvalue()

    def put(self, *names: str) -> None:
        """Writes an image under each name."""
        for name in names:
            path = self.path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self.jpeg)

    def put_training(self, root: str = "train") -> None:
        """Two images of each class."""
        self.put(*(f"{root}/{wnid}/{wnid}_{number}.JPEG" for wnid in self.wnids for number in (3, 10)))

    def put_validation(self, count: int, root: str = "val") -> None:
        """ImageNet's first validation images, all in one folder."""
        self.put(*(f"{root}/{self.validation_name(number)}" for number in range(1, count + 1)))

    @staticmethod
    def validation_name(number: int) -> str:
        return f"ILSVRC2012_val_{number:08d}.JPEG"

    def write(self, name: str, *lines: str) -> Path:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return path

    def put_devkit(self, wnids: Sequence[str], root: str = "ILSVRC2012_devkit_t12/data") -> None:
        """The devkit of 2012 as far as it concerns classes; in meta.mat a synset above the classes follows them."""
        self.write(f"{root}/ILSVRC2012_validation_ground_truth.txt", *(str(self.ilsvrc_id[wnid]) for wnid in wnids))
        rows = [(number, wnid, 0) for wnid, number in self.ilsvrc_id.items()] + [(1001, "n00001740", 2)]
        fields = [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("num_children", "O")]
        scipy.io.savemat(self.path / root / "meta.mat", {"synsets": np.array(rows, fields)[:, None]})


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)
