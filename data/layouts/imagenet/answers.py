"""The classes of validation images that lie in one folder: from ImageNet's devkit, or from a list.

The trap: the devkit's numbers are ILSVRC IDs, which are in no order of the folders' names, while the numbers of most
lists are positions in that order. One must never be taken for the other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from medssm.data.images.names import image_names, name_stem
from medssm.data.layouts.faults import Fault, some
from medssm.data.layouts.folders import folders_in
from medssm.data.layouts.imagenet.layout import FLAT_NAME, ImageFolders
from medssm.data.layouts.imagenet.synsets import SYNSET_FILES, devkit_classes, imagenet_classes, is_wnid
from medssm.errors import DataError, without_path

GROUND_TRUTH = ("ILSVRC2012_validation_ground_truth.txt", "ILSVRC2015_clsloc_validation_ground_truth.txt")
KAGGLES_LIST = "LOC_val_solution.csv"
_LIST_SUFFIXES = (".txt", ".csv", ".tsv")
_PEEKED_LINES = 3
_MOST_DIGITS = 20
# How far above the images Kaggle's list lies: ILSVRC/Data/CLS-LOC.
_KAGGLES_DEPTH = 3


@dataclass(frozen=True)
class Answers:
    """The images of a flat folder.

    Attributes:
        names: of all images, labelled or not.
        labels: name -> position in `classes`, of those whose class is known.
        classes: those that were given, or all that the source knows.
        listed: how many images the source names.
        faults: why images have no label.
    """

    names: tuple[str, ...]
    labels: dict[str, int]
    classes: tuple[str, ...]
    listed: int
    faults: tuple[Fault, ...]


@dataclass(frozen=True)
class _Source:
    """A file that tells classes: the name of an image without its ending -> what is written for it."""

    path: Path
    written: dict[str, str]
    faults: tuple[Fault, ...] = ()


def label_flat_images(layout: ImageFolders, classes: tuple[str, ...]) -> Answers:
    """What is known of the images in `layout.validation`.

    Args:
        classes: of the training folders, sorted; empty to take those of the source.
    """
    names = tuple(image_names(layout.flat))
    source = _find_source(layout, names)
    if isinstance(source, Fault):
        return Answers(names, {}, classes, 0, (source,))
    classes = classes or _classes_of(source)
    matched = {name: source.written[name_stem(name)] for name in names if name_stem(name) in source.written}
    labels, faults = _resolved(source, matched, classes)
    if unnamed := [name for name in names if name not in matched]:
        message = f"{some(unnamed, 'image')} not named in {source.path.name}; add them, or remove the files"
        faults = (Fault(layout.flat, "no-label", message), *faults)
    return Answers(names, labels, classes, len(source.written), (*source.faults, *faults))


def _find_source(layout: ImageFolders, names: Sequence[str]) -> _Source | Fault:
    """The devkit if it is whole, else a list, else why there is none."""
    truth = _find_devkit(layout)
    if isinstance(truth, _Source):
        return truth
    return _find_list(layout, names) or truth or _nothing_tells(layout, len(names))


def _nothing_tells(layout: ImageFolders, count: int) -> Fault:
    message = (
        f"nothing tells the classes of the {count} images in it; put ImageNet's devkit ({GROUND_TRUTH[0]} and "
        f"{SYNSET_FILES[0]}) or a list with a line 'NAME CLASS' for each image into {layout.folder}"
    )
    return Fault(layout.flat, "no-labels", message)


def _places(layout: ImageFolders) -> list[Path]:
    """The folders in which a list may lie."""
    return list(dict.fromkeys((layout.folder, layout.flat, layout.flat.parent)))


def _find_devkit(layout: ImageFolders) -> _Source | Fault | None:
    kits = [kit for place in _places(layout) for kit in folders_in(place) if "devkit" in kit.name.lower()]
    folders = [*_places(layout), *kits, *(nested for kit in kits for nested in folders_in(kit))]
    folders += [folder / "data" for folder in folders]
    truth = _first_file(folders, GROUND_TRUTH)
    if truth is None:
        return None
    synsets = _first_file([truth.parent, *folders], SYNSET_FILES)
    if synsets is None:
        return Fault(
            truth,
            "devkit",
            "its numbers are ILSVRC IDs, which are in no order of the folders' names; put the devkit's "
            f"{SYNSET_FILES[0]} beside it, which says what they stand for",
        )
    return _read_devkit(truth, synsets)


def _first_file(folders: Sequence[Path], names: Sequence[str]) -> Path | None:
    paths = (folder / name for folder in folders for name in names)
    return next((path for path in paths if path.is_file()), None)


def _read_devkit(truth: Path, synsets: Path) -> _Source | Fault:
    """Line k of the ground truth is the ILSVRC ID of image ILSVRC2012_val_<k>."""
    try:
        wnid_of = devkit_classes(synsets)
    except DataError as error:
        return Fault(synsets, "devkit", without_path(synsets, error))
    numbers = truth.read_text(encoding="utf-8-sig", errors="replace").split()
    if strange := [number for number in numbers if _number(number) not in wnid_of]:
        message = (
            f"holds {some(strange, 'entry', 'entries')} that {synsets.name} does not know; take it from the devkit"
        )
        return Fault(truth, "devkit", message)
    return _Source(truth, _numbered([wnid_of[int(number)] for number in numbers]))


def _numbered(written: Sequence[str]) -> dict[str, str]:
    """What line k says, by the name of ImageNet's k-th validation image."""
    return {f"{FLAT_NAME}{k:08d}": text for k, text in enumerate(written, 1)}


def _find_list(layout: ImageFolders, names: Sequence[str]) -> _Source | Fault | None:
    """Kaggle's list, or the only text file that names these images or gives a WordNet number on each line."""
    stems = {name_stem(name) for name in names}
    kaggles = _first_file([layout.folder, *layout.folder.resolve().parents[:_KAGGLES_DEPTH]], (KAGGLES_LIST,))
    if kaggles:
        return _read_list(kaggles, stems)
    files = (path for place in _places(layout) for path in sorted(place.iterdir()) if path.suffix in _LIST_SUFFIXES)
    lists = [path for path in files if path.is_file() and path.name not in GROUND_TRUTH and _is_list(path, stems)]
    if len(lists) > 1:
        message = f"gives classes of the images, and so does {lists[1]}; keep one of the two"
        return Fault(lists[0], "two-lists", message)
    return _read_list(lists[0], stems) if lists else None


def _is_list(path: Path, stems: set[str]) -> bool:
    """Judged by its first lines, one of which may be a heading.

    A column of WordNet numbers without a repetition names the classes, not those of the images.
    """
    with open(path, encoding="utf-8-sig", errors="replace") as file:
        rows = [_row(line) for line in islice(file, _PEEKED_LINES)]
    if rows and all(is_wnid(name) and not text for name, text in rows):
        lines = _lines(path)
        return len(set(lines)) < len(lines)
    return any(text and name_stem(name) in stems for name, text in rows)


def _lines(path: Path) -> list[str]:
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    return [line for line in text.splitlines() if line.strip()]


def _row(line: str) -> tuple[str, str]:
    """An image's name and what is written for it, which is empty if the line has one column."""
    separator = next((mark for mark in "\t,;" if mark in line), None)
    columns = [column.strip(' "\r\n') for column in line.split(separator)]
    return (columns or [""])[0], columns[1] if len(columns) > 1 else ""


def _read_list(path: Path, stems: set[str]) -> _Source:
    rows = [_row(line) for line in _lines(path)]
    if not any(text for _, text in rows):
        return _Source(path, _numbered([name for name, _ in rows]))
    has_heading = name_stem(rows[0][0]) not in stems and not any(mark.isdecimal() for mark in rows[0][1])
    written: dict[str, str] = {}
    contradictory = [name for name, text in rows[has_heading:] if written.setdefault(name_stem(name), text) != text]
    message = f"gives two classes to {some(contradictory, 'image')}; correct it"
    return _Source(path, written, (Fault(path, "two-labels", message),) if contradictory else ())


def _classes_of(source: _Source) -> tuple[str, ...]:
    """The classes where no training folder names them: ImageNet's, or all that are written; none from bare numbers."""
    texts = {_first_word(text) for text in source.written.values()}
    of_imagenet = all(name.startswith(FLAT_NAME) for name in source.written)
    if of_imagenet or texts <= set(imagenet_classes()):
        return imagenet_classes()
    return () if all(text.isdecimal() for text in texts) else tuple(sorted(set(source.written.values())))


def _first_word(text: str) -> str:
    """Kaggle writes boxes after the class."""
    return text.split(maxsplit=1)[0] if text.strip() else ""


def _resolved(
    source: _Source, written: Mapping[str, str], classes: Sequence[str]
) -> tuple[dict[str, int], tuple[Fault, ...]]:
    """The labels of the images, and a fault where what is written is no class."""
    position = {name: label for label, name in enumerate(classes)}
    labels = {name: _position(text, position) for name, text in written.items()}
    known = {name: label for name, label in labels.items() if label is not None}
    if len(known) == len(labels):
        return known, ()
    unknown = sorted({_first_word(text) for name, text in written.items() if name not in known})
    return known, (Fault(source.path, "label-range", _out_of_range(unknown, set(known.values()), len(classes))),)


def _position(text: str, position: Mapping[str, int]) -> int | None:
    """A class by its folder's name, else by its number."""
    word = _first_word(text)
    if (named := position.get(text, position.get(word))) is not None:
        return named
    number = _number(word)
    return number if number is not None and number < len(position) else None


def _number(word: str) -> int | None:
    """A number as lists write it; None for all else, and for more digits than any class has."""
    return int(word) if word.isdecimal() and len(word) < _MOST_DIGITS else None


def _out_of_range(unknown: Sequence[str], used: set[int], count: int) -> str:
    if not count:
        return "gives numbers, and nothing tells which classes they stand for; add the training folders"
    if unknown == [str(count)] and 0 not in used:
        return (
            f"gives the numbers 1 to {count}, but positions in the sorted folders run from 0: if these are ILSVRC IDs, "
            f"put the devkit's {GROUND_TRUTH[0]} and {SYNSET_FILES[0]} here instead, else subtract 1"
        )
    what = f"no training folder and no position from 0 to {count - 1}"
    return f"gives {some(unknown, 'class', 'classes')}: {what}; correct it, or add the folders"
