"""Why a folder of images cannot be used as it is."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from medssm.errors import one_line

_SHOWN = 3
_LONGEST = 60  # letters of a name that a file gave


class Fault(NamedTuple):
    """One reason.

    Attributes:
        file: where it is, a file or a folder.
        kind: a short name that stays the same.
        message: what was found and what to do, without the file.
    """

    file: Path
    kind: str
    message: str


def some(items: Sequence[str], noun: str, plural: str = "") -> str:
    """How many there are, and the first few by name.

    >>> some(["cat", "cow", "dog", "elk"], "class", "classes")
    '4 classes (cat, cow, dog, ...)'
    """
    shown = ", ".join(one_line(item, _LONGEST) for item in items[:_SHOWN]) + (", ..." if len(items) > _SHOWN else "")
    return f"{len(items)} {noun if len(items) == 1 else plural or f'{noun}s'} ({shown})"
