"""Where a folder keeps photographs, their label maps and the names of the classes."""

import os
from dataclasses import dataclass
from pathlib import Path

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


def read_names(layout: SceneFolders) -> tuple[str, ...]:
    """The names of the classes 1, 2, ... of the label maps.

    The list is either a name a line, or ADE20K's table with a number, shares and names in columns. Of that benchmark
    the customary short names are taken, with or without its table.

    Raises: DataError if there is no list, or it makes no sense.
    """
    if layout.names is None:
        if _is_ade20k(layout):
            return ADE20K_NAMES
        raise DataError(
            f"{layout.folder}: says nowhere what its classes are called; add {NAME_FILES[0]} with a name a line, the "
            "first for label 1 of the label maps"
        )
    try:
        lines = [line.strip() for line in layout.names.read_text(encoding="utf-8").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise DataError(f"{layout.names}: is no text in UTF-8; write a name a line") from error
    names = _table(lines) if lines and lines[0].split()[0] == "Idx" else tuple(lines)
    if not 1 < len(names) <= MOST_CLASSES or len(set(names)) < len(names):
        raise DataError(
            f"{layout.names}: names {len(names)} classes, {len(set(names))} of them different; write 2 to "
            f"{MOST_CLASSES} names, each once"
        )
    return names


def _table(lines: list[str]) -> tuple[str, ...]:
    """ADE20K's objectInfo150.txt: Idx, Ratio, Train, Val and Name, the last one with synonyms."""
    synonyms = [line.split(None, 4)[-1] for line in lines[1:]]
    return (
        ADE20K_NAMES if len(synonyms) == len(ADE20K_NAMES) else tuple(words.split(",")[0].strip() for words in synonyms)
    )


def _is_ade20k(layout: SceneFolders) -> bool:
    files = (*files_by_stem(layout.images(VALIDATION)), *files_by_stem(layout.images(TRAINING)))
    return bool(files) and files[0].startswith("ADE_")
