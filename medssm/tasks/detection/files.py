"""The objects on many photographs: a picture of each, and all of them as one file in COCO's format or a table."""

import csv
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from medssm.files import atomic_path
from medssm.tasks.detection.runner import SCORE, DetectedObject, Detection, Detector, category_ids
from medssm.tasks.files import FileResults, failures, run_on_files

_QUALITY = 92
COLUMNS = ("file", "category_id", "name", "score", "left", "top", "right", "bottom")


@dataclass(frozen=True)
class ObjectsOfFile:
    """What is kept of a photograph's objects when its pixels are let go.

    Attributes:
        size: (H, W) in pixels, upright.
        results: of COCO's format.
    """

    size: tuple[int, int]
    objects: list[DetectedObject]
    results: list[dict[str, Any]]


@dataclass
class DetectedFiles:
    """The objects of each file; a sentence for each that failed.

    Attributes:
        model: the name of the backbone. names: of the classes.
    """

    model: str
    names: tuple[str, ...]
    results: FileResults[ObjectsOfFile]

    def write_coco(self, path: str | Path) -> None:
        """One file in COCO's format, with `score` in its annotations, which pycocotools' `COCO` reads.

        Its list `annotations` is what `COCO.loadRes` and COCO's server take. Images named by numbers, as COCO's are,
        have these as their identities.
        """
        files = self.results.found
        identities = _image_ids(files)
        annotations = [{**one, "image_id": identities[file]} for file, found in files.items() for one in found.results]
        content = {
            "info": {"description": "objects found by medssm detect", "model": self.model},
            "images": [
                {"id": identities[file], "file_name": str(file), "height": found.size[0], "width": found.size[1]}
                for file, found in files.items()
            ],
            "categories": [
                {"id": identity, "name": name}
                for identity, name in zip(category_ids(self.names), self.names, strict=True)
            ],
            "annotations": [{"id": number, **found} for number, found in enumerate(annotations, start=1)],
            "failed": failures(self.results.failed),
        }
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(content, ensure_ascii=False) + "\n", encoding="utf-8")

    def write_csv(self, path: str | Path) -> None:
        """A row for each object; files that failed are left out."""
        identities = category_ids(self.names)
        with atomic_path(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            for source, found in self.results.found.items():
                for one in found.objects:
                    box = [f"{value:.2f}" for value in one.box]
                    writer.writerow((source, identities[one.label], one.name, f"{one.score:.5f}", *box))


def detect_files(
    detector: Detector,
    pictures: Mapping[Path, Path | None],
    score: float = SCORE,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> DetectedFiles:
    """The objects of each file; one that fails does not stop the others.

    Args:
        pictures: of each file, where a picture of what was found is written; None for nowhere.
        score: the least that is kept.
        progress: called with (files done, files).
    """

    def run(file: Path) -> ObjectsOfFile:
        found = detector.detect(file, score)
        if picture := pictures[file]:
            _write_picture(picture, found)
        height, width = found.image.shape[:2]
        return ObjectsOfFile((height, width), found.objects(), found.as_coco())

    return DetectedFiles(detector.model, tuple(detector.names), run_on_files(list(pictures), run, progress))


def _write_picture(path: Path, found: Detection) -> None:
    with atomic_path(path) as temporary:
        Image.fromarray(found.picture()).save(temporary, quality=_QUALITY)


def _image_ids(files: Mapping[Path, Any]) -> dict[Path, int]:
    numbers = {int(file.stem) for file in files if file.stem.isdecimal()}
    if len(numbers) == len(files):
        return {file: int(file.stem) for file in files}
    return {file: number for number, file in enumerate(files, start=1)}
