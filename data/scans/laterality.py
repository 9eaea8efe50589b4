"""Which labels are the left and the right one of a pair, told from their names in any of the usual spellings.

"left kidney", kidney_left, Left-Thalamus, LeftLung, Parotid_L, kidney(R), ctx-lh-cuneus and Lt Eye name their side in
a word of its own. rkid and lkid, RAG and LAG, leftkidney and Eye_AL hide it in a word: there only two names that differ
in nothing else are a pair, so that liver, rectum, or a lad that is an artery, are none.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

_LEFT, _RIGHT = "left", "right"
_SIDES = {
    **dict.fromkeys(("left", "l", "lt", "lh", "sinister", "sinistra", "sinistrum"), _LEFT),
    **dict.fromkeys(("right", "r", "rt", "rh", "dexter", "dextra", "dextrum"), _RIGHT),
}
# Between the words of "LeftLung" and of "LKidney".
_CAPITALS = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_WORDS = re.compile(r"[^\W_]+")
# How words that hide their side begin or end.
_HIDDEN = (("left", "right"), ("l", "r"))
# Words that name a side by their first letter even where no partner is to be seen.
_ABBREVIATED = re.compile(r"[lr](kid|kidney|lung|adr|adrenal|eye|hippocampus|parotid)")
# Parts that name a side but have no partner on the other one, or are told by their build wherever they lie.
_SINGLE = ({"middle", "lobe"}, {"lingula"}, {"atrial", "appendage"}, {"atrium"}, {"myocardium"})


class Sides(NamedTuple):
    """What the names of a label map say of left and right.

    Attributes:
        pairs: label values that trade places in a mirror, the smaller first.
        alone: names that speak of a side without one other name that is their partner.
    """

    pairs: tuple[tuple[int, int], ...]
    alone: tuple[str, ...]


def find_sides(names: Mapping[int, str]) -> Sides:
    """The left-right pairs among labels (value -> name), and the names that lack their partner.

    >>> find_sides({1: "spleen", 2: "rkid", 3: "lkid", 4: "lung_left", 5: "Left Thalamus", 6: "right lung"})
    Sides(pairs=((2, 3), (4, 6)), alone=('Left Thalamus',))
    """
    spoken = {label: _spoken(name) for label, name in names.items()}
    labels: dict[_Spoken, list[int]] = {}
    for label, key in spoken.items():
        labels.setdefault(key, []).append(label)
    pair_of: dict[int, tuple[int, int]] = {}
    for key, those in labels.items():
        for partner in _partners(key):
            found = those + labels.get(partner, [])
            if len(found) == 2 and not pair_of.keys() & found:
                pair_of |= dict.fromkeys(found, (min(found), max(found)))
    alone = [names[label] for label, key in spoken.items() if label not in pair_of and _wants_partner(key)]
    return Sides(tuple(sorted(set(pair_of.values()))), tuple(alone))


def mirrored_labels(pairs: Iterable[tuple[int, int]], count: int) -> np.ndarray:
    """For each label value below `count` the one that a mirror of left and right makes of it, (count,) int64."""
    table = np.arange(count)
    for one, other in pairs:
        table[[one, other]] = other, one
    return table


class _Spoken(NamedTuple):
    """The side that a name speaks of, None if of neither or of both, and its other words."""

    side: str | None
    words: tuple[str, ...]


def _spoken(name: str) -> _Spoken:
    words = tuple(_WORDS.findall(_CAPITALS.sub(" ", name).lower()))
    sides = {_SIDES[word] for word in words if word in _SIDES}
    if len(sides) != 1:
        return _Spoken(None, words)
    return _Spoken(sides.pop(), tuple(word for word in words if word not in _SIDES))


def _partners(name: _Spoken) -> Iterator[_Spoken]:
    """What the partner of a left one may be called."""
    if name.side == _LEFT:
        yield _Spoken(_RIGHT, name.words)
    elif name.side is None:
        for place, word in enumerate(name.words):
            for partner in _hidden_partners(word):
                yield _Spoken(None, (*name.words[:place], partner, *name.words[place + 1 :]))


def _hidden_partners(word: str) -> Iterator[str]:
    for left, right in _HIDDEN:
        if word != left and word.startswith(left):
            yield right + word.removeprefix(left)
        if word != left and word.endswith(left):
            yield word.removesuffix(left) + right


def _wants_partner(name: _Spoken) -> bool:
    if any(_ABBREVIATED.fullmatch(word) for word in name.words):
        return True
    return name.side is not None and bool(name.words) and not any(part.issubset(name.words) for part in _SINGLE)
