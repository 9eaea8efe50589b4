"""Faults of photographs with label maps: what lacks its partner, does not fit it, or says what no class is."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from medssm.data.images.labels import IGNORED
from medssm.data.images.reading import hidden_turn, read_image
from medssm.data.layouts.ade20k.dataset import Scene, partner_faults, scene_layout, scenes_of
from medssm.data.layouts.ade20k.labels import (
    as_classes,
    doubtful_numbering,
    known_numbers,
    read_numbers,
    strange_numbers,
)
from medssm.data.layouts.ade20k.layout import TRAINING, VALIDATION, ClassNames, SceneFolders, read_names
from medssm.data.layouts.faults import some
from medssm.data.layouts.findings import DataReport, Remark
from medssm.errors import DataError, without_path

_SHOWN_NUMBERS = 5


class _Checked(NamedTuple):
    """What was wrong with a scene, how many pixels each class has in it, and the numbers of its label map."""

    findings: list[Remark]
    pixels: np.ndarray
    numbers: frozenset[int] = frozenset()


def check_scene_dataset(
    folder: str | Path, progress: Callable[[int, int], None] = lambda done, total: None
) -> DataReport:
    """Everything that is wrong with the photographs and label maps in `folder`, each file decoded once.

    Args:
        progress: called with the number of scenes done and their total.

    Raises: DataError if there is no dataset in `folder`.
    """
    layout = scene_layout(Path(folder))
    findings = [Remark(*fault) for fault in partner_faults(layout)]
    names = ClassNames((), 1)
    try:
        names = read_names(layout)
    except DataError as error:
        source = layout.names or layout.folder
        findings.append(Remark(source, "names", without_path(source, error)))
    parts = {part: list(scenes_of(layout, part)) for part in (TRAINING, VALIDATION)}
    findings += [
        Remark(layout.images(part), "no-scene", "holds no photograph with a label map; add them, or unpack the archive")
        for part, scenes in parts.items()
        if not scenes
    ]
    findings += _scenes(layout, parts, names, progress)
    counts = {part: len(scenes) for part, scenes in parts.items()}
    return DataReport(Path(folder).resolve().name, Path(folder), counts, tuple(dict.fromkeys(findings)))


def _scenes(
    layout: SceneFolders, parts: dict[str, list[Scene]], known: ClassNames, progress: Callable[[int, int], None]
) -> Iterator[Remark]:
    total, done = sum(map(len, parts.values())), 0
    names = known.names
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # Pillow decodes without Python's lock
        for part, scenes in parts.items():
            pixels = np.zeros(len(names), np.int64)
            numbers: set[int] = set()
            for checked in pool.map(partial(_check_scene, known=known), scenes):
                yield from checked.findings
                pixels += checked.pixels
                numbers |= checked.numbers
                done += 1
                progress(done, total)
            is_trusted = known.first is not None or (part == VALIDATION and bool(parts[TRAINING]))
            if numbers and not is_trusted and (doubt := doubtful_numbering(numbers, len(names))):
                yield Remark(layout.annotations(part), "numbering", f"the label maps {doubt}")
            yield from _missing_classes(layout.annotations(part), names, pixels)


def _missing_classes(folder: Path, names: tuple[str, ...], pixels: np.ndarray) -> Iterator[Remark]:
    if pixels.any() and (absent := [name for name, count in zip(names, pixels, strict=True) if not count]):
        message = f"{some(absent, 'class', 'classes')} of {len(names)} in no label map; see whether some were lost"
        yield Remark(folder, "missing-class", message, is_note=True)


def _check_scene(scene: Scene, known: ClassNames) -> _Checked:
    names, first = known.names, 1 if known.first is None else known.first
    image_size, findings = _photograph(scene.image)
    pixels = np.zeros(len(names), np.int64)
    try:
        numbers = read_numbers(scene.labels)
    except DataError as error:
        kind = "colours" if "holds colours" in str(error) else "unreadable"
        return _Checked([*findings, Remark(scene.labels, kind, without_path(scene.labels, error))], pixels)
    if image_size and image_size != numbers.shape:
        shapes = " and ".join(f"{height} x {width}" for height, width in (numbers.shape, image_size))
        message = (
            f"label map and photograph are of {shapes} pixels; they must be equal, resize neither but get them again"
        )
        findings.append(Remark(scene.labels, "size", message))
    if not names:
        return _Checked(findings, pixels)
    held = frozenset(np.unique(numbers).tolist())
    if strange := strange_numbers(numbers, len(names), first):
        shown = ", ".join(map(str, strange[:_SHOWN_NUMBERS])) + ", ..." * (len(strange) > _SHOWN_NUMBERS)
        message = f"holds {shown}, but labels are {known_numbers(len(names), first)}; correct them, or name all classes"
        return _Checked([*findings, Remark(scene.labels, "label-range", message)], pixels, held)
    labels = as_classes(scene.labels, numbers, len(names), first)
    pixels = np.bincount(labels.ravel(), minlength=IGNORED + 1)[: len(names)]
    if not pixels.any():
        findings.append(Remark(scene.labels, "empty", "says of no pixel what it is; nothing can be learnt of it", True))
    return _Checked(findings, pixels, held)


def _photograph(path: Path) -> tuple[tuple[int, int] | None, list[Remark]]:
    """The size (H, W) of a photograph as it is shown, and what was wrong with it."""
    try:
        width, height = read_image(path).size
        turn = hidden_turn(path)
    except DataError as error:
        return None, [Remark(path, "unreadable", without_path(path, error))]
    message = f"{turn}; its label map is taken to lie on it as it is shown"
    return (height, width), [Remark(path, "exif", message, is_note=True)] if turn else []
