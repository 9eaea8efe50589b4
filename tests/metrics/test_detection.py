"""Average precision, against a second computation in plain Python on dense masks."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_masks

from medssm.data.layouts.coco import Annotations, read_annotations
from medssm.metrics.detection import AveragePrecision, FoundObjects, average_precision

SIZE = 150
CLASSES = 3
SIZES = {"all": (0, 1e10), "small": (0, 32**2), "medium": (32**2, 96**2), "large": (96**2, 1e10)}
OVERLAPS = [0.5 + 0.05 * step for step in range(10)]


class Shape:
    """An object or a detection: a filled ellipse in its box."""

    def __init__(self, image: int, label: int, box: np.ndarray, score: float = 1.0, is_crowd: bool = False) -> None:
        left, top, right, bottom = box
        y, x = np.mgrid[:SIZE, :SIZE] + 0.5
        spread = ((2 * x - left - right) / (right - left)) ** 2 + ((2 * y - top - bottom) / (bottom - top)) ** 2
        self.image, self.label, self.box, self.score, self.is_crowd = image, label, box, score, is_crowd
        self.mask = spread <= 1

    @property
    def counts(self) -> bytes:
        return coco_masks.encode(np.asfortranarray(self.mask, np.uint8))["counts"]


def made_up(seed: int = 0, images: int = 8) -> tuple[list[Shape], list[Shape]]:
    """Objects, every fifth a crowd, and detections: shifted copies, some of another class, twice found or invented."""
    random = np.random.default_rng(seed)
    objects, found = [], []
    for image in range(images):
        for _ in range(int(random.integers(0, 7))):
            sides = np.exp(random.uniform(np.log(8), np.log(140), 2))
            corner = random.uniform(0, SIZE - sides)
            box = np.concatenate([corner, corner + sides])
            label = int(random.integers(CLASSES))
            objects.append(Shape(image, label, box, is_crowd=random.random() < 0.2))
            for _ in range(int(random.integers(0, 4))):
                moved = box + random.normal(0, 0.08, 4) * np.tile(sides, 2)
                guess = label if random.random() < 0.8 else int(random.integers(CLASSES))
                found.append(Shape(image, guess, moved, float(random.random())))
        anywhere = np.sort(random.uniform(0, SIZE, (2, 2)), 0).ravel() + np.array([0, 0, 4, 4])
        found.append(Shape(image, int(random.integers(CLASSES)), anywhere, float(random.random())))
    return objects, found


def written(path: Path, objects: list[Shape], images: int = 8) -> Annotations:
    content = {
        "images": [{"id": 5 * n, "file_name": f"{n}.jpg", "height": SIZE, "width": SIZE} for n in range(images)],
        "categories": [{"id": 10 * label + 1, "name": f"kind {label}"} for label in range(CLASSES)],
        "annotations": [json_of(place, shape) for place, shape in enumerate(objects)],
    }
    path.write_text(json.dumps(content), encoding="utf-8")
    return read_annotations(path)


def json_of(place: int, shape: Shape) -> dict[str, Any]:
    left, top, right, bottom = shape.box.tolist()
    return {
        "id": place,
        "image_id": 5 * shape.image,
        "category_id": 10 * shape.label + 1,
        "iscrowd": int(shape.is_crowd),
        "bbox": [left, top, right - left, bottom - top],
        "area": int(shape.mask.sum()),
        "segmentation": {"size": [SIZE, SIZE], "counts": shape.counts.decode()},
    }


def grouped(found: list[Shape], images: int = 8) -> list[FoundObjects]:
    groups = [[shape for shape in found if shape.image == image] for image in range(images)]
    return [
        FoundObjects(
            image,
            np.array([shape.box for shape in group]).reshape(-1, 4),
            np.array([shape.score for shape in group]),
            np.array([shape.label for shape in group], int),
            tuple(shape.counts for shape in group),
        )
        for image, group in enumerate(groups)
    ]


def overlap(detection: Shape, target: Shape, kind: str) -> float:
    """Intersection over union; over the detection alone where the target is a crowd."""
    if kind == "mask":
        both = (detection.mask & target.mask).sum()
        own, other = detection.mask.sum(), target.mask.sum()
    else:
        sides = np.minimum(detection.box[2:], target.box[2:]) - np.maximum(detection.box[:2], target.box[:2])
        both = np.prod(sides.clip(0))
        own, other = (np.prod(shape.box[2:] - shape.box[:2]) for shape in (detection, target))
    return float(both / (own if target.is_crowd else own + other - both))


def area(detection: Shape, kind: str) -> float:
    return float(detection.mask.sum() if kind == "mask" else np.prod(detection.box[2:] - detection.box[:2]))


def verdicts(
    objects: list[Shape], found: list[Shape], kind: str, limits: tuple[float, float], threshold: float, most: int
) -> tuple[list[tuple[float, bool]], int]:
    """Score and rightness of the detections that count, in one image and of one class, and how many objects do."""
    counts = {id(one): not one.is_crowd and limits[0] <= one.mask.sum() <= limits[1] for one in objects}
    free = list(objects)
    judged = []
    for detection in sorted(found, key=lambda shape: -shape.score)[:most]:
        fitting = [one for one in free if overlap(detection, one, kind) >= min(threshold, 1 - 1e-10)]
        wanted = [one for one in fitting if counts[id(one)]]
        best = max(wanted or fitting, key=lambda one: overlap(detection, one, kind), default=None)
        if best is None:
            if limits[0] <= area(detection, kind) <= limits[1]:
                judged.append((detection.score, False))
            continue
        if not best.is_crowd:
            free.remove(best)
        if counts[id(best)]:
            judged.append((detection.score, True))
    return judged, sum(counts.values())


def curve(judged: list[tuple[float, bool]], total: int) -> tuple[float, float]:
    """Area under precision over recall at 101 points, and the recall of all."""
    points, right = [], 0
    for place, (_, is_right) in enumerate(sorted(judged, key=lambda pair: -pair[0]), 1):
        right += is_right
        points.append((right / total, right / place))
    readings = [max((p for r, p in points if r >= step / 100), default=0.0) for step in range(101)]
    return sum(readings) / 101, right / total


def by_class(
    objects: list[Shape], found: list[Shape], kind: str, size: str, thresholds: list[float], most: int = 100
) -> list[tuple[float, float]]:
    """Mean precision and recall over thresholds of each class that has objects of the size; NaN for others."""
    means = []
    for label in range(CLASSES):
        curves = []
        for threshold in thresholds:
            judged, total = [], 0
            for image in range(8):
                mine, theirs = (
                    [s for s in group if (s.image, s.label) == (image, label)] for group in (objects, found)
                )
                more, count = verdicts(mine, theirs, kind, SIZES[size], threshold, most)
                judged += more
                total += count
            curves.append(curve(judged, total) if total else (math.nan, math.nan))
        means.append(tuple(np.mean(curves, 0)))
    return means


def expected(objects: list[Shape], found: list[Shape], kind: str) -> AveragePrecision:
    def over_classes(column: int, *settings: Any) -> float:
        values = [pair[column] for pair in by_class(objects, found, kind, *settings)]
        known = [value for value in values if not math.isnan(value)]
        return float(np.mean(known)) if known else math.nan

    return AveragePrecision(
        ap=over_classes(0, "all", OVERLAPS),
        ap50=over_classes(0, "all", [0.5]),
        ap75=over_classes(0, "all", [0.75]),
        ap_small=over_classes(0, "small", OVERLAPS),
        ap_medium=over_classes(0, "medium", OVERLAPS),
        ap_large=over_classes(0, "large", OVERLAPS),
        ar1=over_classes(1, "all", OVERLAPS, 1),
        ar10=over_classes(1, "all", OVERLAPS, 10),
        ar100=over_classes(1, "all", OVERLAPS, 100),
        ar_small=over_classes(1, "small", OVERLAPS),
        ar_medium=over_classes(1, "medium", OVERLAPS),
        ar_large=over_classes(1, "large", OVERLAPS),
        classes=tuple(pair[0] for pair in by_class(objects, found, kind, "all", OVERLAPS)),
    )


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDSSM_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("kind", ["box", "mask"])
@pytest.mark.parametrize("seed", [0, 1])
def test_every_figure_equals_a_second_computation(tmp_path, kind, seed, capsys):
    objects, found = made_up(seed)
    measured = average_precision(written(tmp_path / "a.json", objects), grouped(found), kind)
    second = expected(objects, found, kind)
    for name, value in vars(second).items():
        np.testing.assert_allclose(getattr(measured, name), value, atol=1e-9, err_msg=name)
    assert 0.1 < measured.ap < 0.9
    assert capsys.readouterr().out == ""


def test_what_lies_in_a_crowd_counts_neither_way(tmp_path):
    crowd = Shape(0, 0, np.array([50.0, 50, 140, 140]), is_crowd=True)
    target = Shape(0, 0, np.array([5.0, 5, 40, 40]))
    annotations = written(tmp_path / "a.json", [target, crowd])
    hit = Shape(0, 0, target.box, 0.5)
    within = [Shape(0, 0, np.array([80.0, 80, 100 + n, 100]), 0.9) for n in range(3)]
    elsewhere = Shape(0, 0, np.array([5.0, 60, 30, 90]), 0.9)
    assert average_precision(annotations, grouped([hit, *within]), "mask").ap == pytest.approx(1)
    assert average_precision(annotations, grouped([hit, elsewhere]), "mask").ap == pytest.approx(0.5)


def test_nothing_found_scores_zero_and_classes_without_objects_are_unknown(tmp_path):
    annotations = written(tmp_path / "a.json", [Shape(0, 1, np.array([5.0, 5, 40, 40]))])
    measured = average_precision(annotations, grouped([]), "box")
    assert (measured.ap, measured.ar100, measured.classes[1]) == (0, 0, 0)
    assert math.isnan(measured.classes[0])
    assert math.isnan(measured.ap_large)
