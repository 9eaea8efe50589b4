"""The objects on many photographs: a picture of each, and all of them as one file in COCO's format or a table."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from medssm.files import atomic_path
from medssm.tasks.batch import FileResults, Teller, Watch, keeping, run_on_files
from medssm.tasks.detection.runner import SCORE, DetectedObject, Detection, ObjectDetector, category_ids
from medssm.tasks.tables import TableForm, Tables
from medssm.tasks.under_way import Entry, UnderWay

_QUALITY = 92


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


class ObjectTable(TableForm[ObjectsOfFile]):
    """One file in COCO's format, with `score` in its annotations, which pycocotools' `COCO` reads.

    Its list `annotations` is what `COCO.loadRes` and COCO's server take. Images named by numbers, as COCO's are, have
    these as their identities.

    Args:
        names: of the classes.
    """

    columns = ("file", "category_id", "name", "score", "left", "top", "right", "bottom")

    def __init__(self, names: Sequence[str] = ()) -> None:
        self.names = dict(zip(category_ids(names), names, strict=True))

    def entry(self, file: Path, found: ObjectsOfFile) -> Entry:
        height, width = found.size
        return {"file": str(file), "height": height, "width": width, "objects": found.results}

    def rows(self, entry: Entry) -> Iterator[tuple[Any, ...]]:
        for one in entry["objects"]:
            left, top, width, height = one["bbox"]
            box = [f"{value:.2f}" for value in (left, top, left + width, top + height)]
            yield (entry["file"], one["category_id"], self.names[one["category_id"]], f"{one['score']:.5f}", *box)

    def document(self, entries: list[Entry], model: str) -> dict[str, Any]:
        identities = _image_ids([entry["file"] for entry in entries])
        annotations = [
            {**one, "image_id": identity}
            for identity, entry in zip(identities, entries, strict=True)
            for one in entry["objects"]
        ]
        return {
            "info": {"description": "objects found by medssm detect", "model": model},
            "images": [
                {"id": identity, "file_name": entry["file"], "height": entry["height"], "width": entry["width"]}
                for identity, entry in zip(identities, entries, strict=True)
            ],
            "categories": [{"id": identity, "name": name} for identity, name in self.names.items()],
            "annotations": [{"id": number, **found} for number, found in enumerate(annotations, start=1)],
        }

    def entries_in(self, document: dict[str, Any]) -> list[Entry]:
        entries = {
            image["id"]: {
                "file": image["file_name"],
                "height": image["height"],
                "width": image["width"],
                "objects": [],
            }
            for image in document["images"]
        }
        for one in document["annotations"]:
            own = {key: value for key, value in one.items() if key not in ("id", "image_id")}
            entries[one["image_id"]]["objects"].append(own)
        return list(entries.values())


def detect_files(
    detector: ObjectDetector,
    pictures: Mapping[Path, Path | None],
    score: float = SCORE,
    watch: Watch[ObjectsOfFile] | None = None,
    *,
    tables: Tables[ObjectsOfFile] | None = None,
    under_way: UnderWay | None = None,
) -> FileResults[ObjectsOfFile]:
    """The objects of each file whose outputs are not there yet; one that fails does not stop the others.

    Args:
        pictures: of each file, where a picture of what was found is written; None for nowhere.
        score: the least that is kept.
        tables: what is known already.
    """
    overwrite = tables is not None and tables.overwrite

    def skip(file: Path) -> str | None:
        return tables.why_known(file, pictures[file]) if tables else None

    def run(file: Path, _: Teller) -> ObjectsOfFile:
        found = detector.detect(file, score)
        picture = pictures[file]
        height, width = found.image.shape[:2]
        kept = ObjectsOfFile((height, width), found.objects(), found.as_coco())
        if picture and (overwrite or not picture.exists()):
            with keeping(kept):
                _write_picture(picture, found)
        return kept

    entry = ObjectTable(detector.names).entry
    return run_on_files(list(pictures), run, watch, skip=skip, under_way=under_way, try_crashed=overwrite, entry=entry)


def _write_picture(path: Path, found: Detection) -> None:
    with atomic_path(path) as temporary:
        Image.fromarray(found.picture()).save(temporary, quality=_QUALITY)


def _image_ids(files: Sequence[str]) -> list[int]:
    stems = [Path(file).stem for file in files]
    if all(stem.isdecimal() for stem in stems) and len({int(stem) for stem in stems}) == len(stems):
        return [int(stem) for stem in stems]
    return list(range(1, len(files) + 1))
