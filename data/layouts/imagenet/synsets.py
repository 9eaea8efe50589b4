"""ImageNet's classes: their WordNet numbers such as n01440764, their names, and the devkit's numbering of them."""

import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from medssm.errors import DataError, reason_of

if TYPE_CHECKING:
    from timm.data import ImageNetInfo

SYNSET_FILES = ("meta.mat", "map_clsloc.txt")
_WNID = re.compile(r"n\d{8}")


def is_wnid(name: str) -> bool:
    """Whether this is a WordNet number, n and eight digits."""
    return _WNID.fullmatch(name) is not None


@lru_cache(maxsize=1)
def _imagenet() -> "ImageNetInfo":
    from timm.data import ImageNetInfo

    return ImageNetInfo("imagenet-1k")


def imagenet_classes() -> tuple[str, ...]:
    """The 1000 WordNet numbers of ImageNet-1k, sorted: position k is output k of every published classifier."""
    return tuple(_imagenet().label_names())


def synset_names(classes: Iterable[str]) -> tuple[str, ...]:
    """What people call these classes: WordNet's words for its numbers, any other name as it is."""
    return tuple(_words(name) if is_wnid(name) else name for name in classes)


def _words(wnid: str) -> str:
    try:
        return _imagenet().label_name_to_description(wnid)
    except KeyError:
        return wnid


def devkit_classes(path: Path) -> dict[int, str]:
    """ILSVRC ID -> WordNet number of the 1000 classes.

    IDs run from 1 and are in no order of the WordNet numbers: 1 is n02119789, a fox, while n01440764 comes first.

    Args:
        path: the devkit's `meta.mat` (2012), or `map_clsloc.txt` (2014 and later): "n02119789 1 kit_fox".

    Raises: DataError if the file is neither.
    """
    try:
        return _meta(path) if path.suffix == ".mat" else _map(path)
    # SciPy raises whatever its reader stumbles over in a damaged file.
    except Exception as error:
        raise DataError(
            f"{path}: is no list of ImageNet's synsets ({reason_of(error, 100)}); take it from the devkit again"
        ) from error


def _meta(path: Path) -> dict[int, str]:
    """Its 1860 synsets include what lies above the classes in WordNet; the classes have no children."""
    import scipy.io

    synsets = scipy.io.loadmat(path, squeeze_me=True)["synsets"]
    columns = (synsets[name].tolist() for name in ("ILSVRC2012_ID", "WNID", "num_children"))
    return {int(number): str(wnid) for number, wnid, children in zip(*columns, strict=True) if int(children) == 0}


def _map(path: Path) -> dict[int, str]:
    rows = (line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    return {int(row[1]): row[0] for row in rows}
