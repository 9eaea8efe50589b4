"""A folder of photographs with label maps, written here pixel by pixel."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

WriteScene = Callable[[str, str, Any], None]


@pytest.fixture
def write_scene(tmp_path: Path) -> WriteScene:
    """Writes a grey photograph, and the numbers of its label map, to a part of `tmp_path`."""

    def write(part: str, stem: str, numbers: list[list[int]]) -> None:
        pixels = np.array(numbers, np.uint8)
        for side in ("images", "annotations"):
            (tmp_path / side / part).mkdir(parents=True, exist_ok=True)
        photograph = Image.new("RGB", pixels.shape[::-1], (127, 127, 127))
        photograph.save(tmp_path / "images" / part / f"{stem}.jpg")
        Image.fromarray(pixels).save(tmp_path / "annotations" / part / f"{stem}.png")

    return write


@pytest.fixture
def folder(tmp_path: Path, write_scene: WriteScene) -> Path:
    """Three scenes of a wall, a floor and a lamp, two of which train."""
    write_scene("training", "a", [[0, 1, 2], [3, 255, 1]])
    write_scene("training", "b", [[1, 1, 1], [2, 2, 3]])
    write_scene("validation", "c", [[3, 3, 0], [0, 1, 1]])
    (tmp_path / "names.txt").write_text("wall\nfloor\nlamp\n", encoding="utf-8")
    return tmp_path
