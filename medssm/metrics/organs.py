"""Which labels of a prediction and of its reference are one organ: by name where both have names, else by number."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from medssm.data.scans.organ_masks import folded
from medssm.data.scans.organs import BTCV_ORGANS
from medssm.errors import UsageError


class Organ(NamedTuple):
    """An organ in two label maps.

    Attributes:
        label: a number of its own: the reference's, else the prediction's, else one that is free.
        name: the reference's, else the prediction's, else "label 7".
        predicted, expected: its label values in the prediction and in the reference; none where a map lacks it.
    """

    label: int
    name: str
    predicted: tuple[int, ...]
    expected: tuple[int, ...]


class LabelTable(NamedTuple):
    """What one label map says of its labels.

    Attributes:
        names: label value -> name; empty where the file holds none.
        present: the values that occur.
    """

    names: Mapping[int, str]
    present: frozenset[int]

    @property
    def labels(self) -> list[int]:
        """Every value that has a name or occurs, without background."""
        return sorted({*self.names, *self.present} - {0})

    def find(self, text: str) -> list[int]:
        """The labels that a user means by a number or a name; none where there are none."""
        if text.isdecimal():
            return [label for label in self.labels if label == int(text)]
        return [label for label, name in self.names.items() if folded(name) == folded(text)]


def match_organs(prediction: LabelTable, reference: LabelTable, mapping: Sequence[tuple[str, str]] = ()) -> list[Organ]:
    """The organs of two label maps, those of the reference first, in the order of their labels.

    Where both maps have names, the names decide, whatever the numbers: case, punctuation and the order of words do not
    matter. Else the numbers do. Labels of one name in one map are one organ. No label is left out: one without a
    partner is an organ of one map alone.

    Args:
        mapping: (label of the prediction, label of the reference) as number or name, before everything else; several
            labels of the prediction may be one of the reference.
    """
    by_name = bool(prediction.names and reference.names)
    expected = {label: _key(reference, label, by_name) for label in reference.labels}
    predicted = {label: _key(prediction, label, by_name) for label in prediction.labels}
    chosen: dict[int, tuple[str, str]] = {}
    titles: dict[tuple[str, str], str] = {}
    for left, right in mapping:
        target = _target(reference, expected, right)
        chosen |= dict.fromkeys(prediction.find(left), target)
        titles[target] = f"label {right}" if right.isdecimal() else right
    taken = set(chosen.values())
    for label in prediction.labels:
        if label not in chosen and predicted[label] in taken:  # its namesake in the reference is another label's by now
            del predicted[label]
            if label in prediction.present:
                predicted[label] = ("prediction", str(label))
    predicted |= chosen
    free = iter(sorted(set(range(1, len(expected) + len(predicted) + 1)).difference(expected, predicted)))
    organs: list[Organ] = []
    for key in dict.fromkeys((*expected.values(), *predicted.values())):
        ours = tuple(label for label, own in predicted.items() if own == key)
        theirs = tuple(label for label, own in expected.items() if own == key)
        used = {organ.label for organ in organs}
        number = next((label for label in (*theirs, *ours) if label not in used), None) or next(free)
        named = [reference.names.get(label) for label in theirs] + [titles.get(key) if key[0] == "name" else None]
        named += [prediction.names.get(label) for label in ours]
        name = next(filter(None, named), _numbered(key))
        if folded(name) in {folded(organ.name) for organ in organs}:
            name = f"{name} ({number})"
        organs.append(Organ(number, name, ours, theirs))
    return organs


def _key(table: LabelTable, label: int, by_name: bool) -> tuple[str, str]:
    if by_name and label in table.names:
        return "name", folded(table.names[label])
    return "label", str(label)


def _target(reference: LabelTable, expected: Mapping[int, tuple[str, str]], text: str) -> tuple[str, str]:
    """The key of a label of the reference, also where this reference has it neither in its table nor in its voxels."""
    labels = reference.find(text)
    if labels:
        return expected[labels[0]]
    return ("label", text) if text.isdecimal() else ("name", folded(text))


def _numbered(key: tuple[str, str]) -> str:
    kind, label = key
    return f"label {label} of the prediction" if kind == "prediction" else f"label {label}"


def read_mapping(items: Iterable[str]) -> list[tuple[str, str]]:
    """Pairs of labels, from `left=right` or from files with such a line each; lines that begin with # are left out.

    Raises: UsageError if an item is neither; OSError if a file cannot be read.
    """
    pairs = []
    for item in items:
        lines = [item] if "=" in item else _lines(Path(item))
        for line in lines:
            left, equals, right = (part.strip() for part in line.partition("="))
            if not (left and equals and right):
                raise UsageError(f"{line}: must be two labels, such as 5=1 or liver=Leber")
            pairs.append((left, right))
    for left, right in pairs:
        others = [other for same, other in pairs if folded(same) == folded(left) and folded(other) != folded(right)]
        if others:
            raise UsageError(f"{left} is given twice, as {right} and as {others[0]}; leave one of them out")
    return pairs


def read_label_names(items: Iterable[str]) -> dict[int, str]:
    """Label value -> name, from "btcv", from `6=liver`, or from files with such a line each.

    Raises: UsageError if a label is no number, or an item is none of these; OSError if a file cannot be read.
    """
    names: dict[int, str] = {}
    given: dict[int, str] = {}
    for item in items:
        if item.lower() == "btcv":
            names |= BTCV_ORGANS
            continue
        for label, name in read_mapping([item]):
            if not label.isdecimal():
                raise UsageError(f"{label}={name}: must be a label's number and its name, such as 6=liver")
            if given.setdefault(int(label), name) != name:
                raise UsageError(f"label {label} is named twice, {given[int(label)]} and {name}; leave one of them out")
    return names | given


def _lines(path: Path) -> list[str]:
    if not path.is_file():
        raise UsageError(f"{path}: is neither a pair of labels, such as 5=1, nor a file of them")
    lines = (line.strip() for line in path.read_text(encoding="utf-8", errors="replace").splitlines())
    return [line for line in lines if line and not line.startswith("#")]
