"""Where a folder keeps photographs, their label maps and the names of the classes."""

import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from medssm.data.images.labels import MOST_CLASSES
from medssm.data.images.names import is_image_name
from medssm.data.layouts.ade20k.categories import ADE20K_NAMES
from medssm.data.layouts.folders import folders_in
from medssm.errors import DataError

IMAGES, ANNOTATIONS = "images", "annotations"
TRAINING, VALIDATION = "training", "validation"
# The archive holds one folder of this name.
_ARCHIVE = "ADEChallengeData2016"
NAME_FILES = ("names.txt", "classes.txt", "objectInfo150.txt")
_NUMBERED = re.compile(r"(\d{1,3})[\s:,]+(.+)")


class ClassNames(NamedTuple):
    """The names of the classes in the order of their labels.

    Attributes:
        first: the label of the first one in the label maps, 0 or 1; None if the list does not say it.
    """

    names: tuple[str, ...]
    first: int | None


@dataclass(frozen=True)
class SceneFolders:
    """The parts of a folder: `images/training`, `annotations/training`, the same of `validation`, and a list of names.

    Attributes:
        folder: that holds `images` and `annotations`.
        names: the list; None if there is none.
    """

    folder: Path
    names: Path | None

    def images(self, part: str) -> Path:
        """The folder of the photographs of a part."""
        return self.folder / IMAGES / part

    def annotations(self, part: str) -> Path:
        """The folder of their label maps."""
        return self.folder / ANNOTATIONS / part


def find_scene_folders(folder: Path) -> SceneFolders | None:
    """The parts of a folder of photographs with label maps, by their names alone; None if it has none."""
    for root in (folder, folder / _ARCHIVE):
        if all(
            {path.name for path in folders_in(root / side)} & {TRAINING, VALIDATION} for side in (IMAGES, ANNOTATIONS)
        ):
            lists = [root / name for name in NAME_FILES if (root / name).is_file()]
            return SceneFolders(root, lists[0] if lists else None)
    return None


def files_by_stem(folder: Path) -> dict[str, Path]:
    """The images in a folder by their names without ending, sorted; those in folders below it are not looked for."""
    if not folder.is_dir():
        return {}
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if is_image_name(entry.name))
    return {os.path.splitext(name)[0]: folder / name for name in names}


def names_alike(folder: Path) -> list[str]:
    """The images in a folder whose names differ in their endings alone, sorted."""
    names = sorted(filter(is_image_name, os.listdir(folder))) if folder.is_dir() else []
    counts = Counter(os.path.splitext(name)[0] for name in names)
    return [name for name in names if counts[os.path.splitext(name)[0]] > 1]


def read_names(layout: SceneFolders) -> ClassNames:
    """The names of the classes.

    The list is a name a line, the first for label 1 of the label maps; or a label and a name a line, from 0 or 1 on; or
    ADE20K's table with a number, shares and names in columns. Of that benchmark the customary short names are taken,
    with or without its table.

    Raises: DataError if there is no list, or it makes no sense.
    """
    if layout.names is None:
        if _is_ade20k(layout):
            return ClassNames(ADE20K_NAMES, 1)
        raise DataError(
            f"{layout.folder}: says nowhere what its classes are called; add {NAME_FILES[0]} with a name a line, the "
            "first for label 1 of the label maps"
        )
    try:
        lines = [line.strip() for line in layout.names.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise DataError(f"{layout.names}: is no text in UTF-8; write a name a line") from error
    found = ClassNames(_table(lines), 1) if lines and lines[0].split()[0] == "Idx" else _listed(lines)
    names = found.names
    if not 1 < len(names) <= MOST_CLASSES or len(set(names)) < len(names):
        binary = "; a mask of 0 and 1 has two classes, '0 background' and '1 ...' in lines" if len(names) == 1 else ""
        raise DataError(
            f"{layout.names}: names {len(names)} classes, {len(set(names))} of them different; write 2 to "
            f"{MOST_CLASSES} names, each once{binary}"
        )
    return found


def _listed(lines: list[str]) -> ClassNames:
    """A name a line; numbers before the names say the labels if they count from 0 or 1 on."""
    parts = [match.groups() for line in lines if (match := _NUMBERED.fullmatch(line))]
    for first in (0, 1):
        if len(parts) == len(lines) > 0 and [int(number) for number, _ in parts] == [*range(first, first + len(lines))]:
            return ClassNames(tuple(name.strip() for _, name in parts), first)
    return ClassNames(tuple(lines), None)


def _table(lines: list[str]) -> tuple[str, ...]:
    """ADE20K's objectInfo150.txt: Idx, Ratio, Train, Val and Name, the last one with synonyms."""
    synonyms = [line.split(None, 4)[-1] for line in lines[1:]]
    return (
        ADE20K_NAMES if len(synonyms) == len(ADE20K_NAMES) else tuple(words.split(",")[0].strip() for words in synonyms)
    )


def _is_ade20k(layout: SceneFolders) -> bool:
    files = (*files_by_stem(layout.images(VALIDATION)), *files_by_stem(layout.images(TRAINING)))
    return bool(files) and files[0].startswith("ADE_")
