"""What is mended in a label map after the network, label by label, as validation has shown it to be right.

First pieces are dropped, of every label, then holes are filled, of every label: so no label's outcome depends on the
order of the labels. What is dropped becomes background: the scores that would name the next likely label are gone by
then, as memory does not hold them, and what lay there before is not known. A dropped piece within another organ leaves
a hole in it, which that organ's own rule may fill.

Source: Isensee et al. 2021, nnU-Net, doi:10.1038/s41592-020-01008-z (the largest piece, where validation gains by it).
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np

from medssm.data.scans.label_values import SLAB_VOXELS, label_boxes
from medssm.errors import CheckpointError
from medssm.tasks.segmentation.pieces import BY_FACES, BYTES_OF_VOXEL, Pieces, Slab, find_pieces, pieces_of_label

# Whether what was learnt is applied.
Use = Literal["learnt", "none"]


@dataclass(frozen=True)
class LabelRules:
    """What is mended of one label.

    Attributes:
        largest: only its largest piece stays.
        smallest_ml: pieces smaller than so many millilitres go, be it the largest.
        filled: background that it encloses becomes it.
    """

    largest: bool = False
    smallest_ml: float = 0.0
    filled: bool = False

    def staying(self, sizes: np.ndarray, voxel_ml: float) -> np.ndarray:
        """Which pieces stay, (n,) boolean, of those with so many voxels (n,)."""
        stays = sizes * voxel_ml >= self.smallest_ml
        if self.largest and len(sizes):
            stays &= np.arange(len(sizes)) == sizes.argmax()
        return stays

    def __str__(self) -> str:
        said = ["only the largest piece stays"] * self.largest
        said += [f"pieces below {self.smallest_ml:g} ml go"] * (self.smallest_ml > 0)
        said += ["holes are filled"] * self.filled
        return ", ".join(said) or "stays as it is"


class Change(NamedTuple):
    """What was mended of a label: pieces that were dropped, their voxels, and voxels of holes that were filled."""

    pieces: int = 0
    dropped: int = 0
    filled: int = 0


@dataclass(frozen=True)
class PostProcessing:
    """Rules by label value; labels without any stay as they are."""

    rules: Mapping[int, LabelRules] = field(default_factory=dict)

    @classmethod
    def stored(cls, rules: Mapping[int, Mapping[str, Any]] | None) -> "PostProcessing":
        """As `as_stored` gives it; of weights that hold none, nothing is done.

        Raises: CheckpointError for rules that this version does not know.
        """
        try:
            found = {int(label): LabelRules(**fields) for label, fields in (rules or {}).items()}
        except TypeError as error:
            raise CheckpointError(
                f"the weights have rules of post-processing that this version does not know ({error}); update medssm"
            ) from error
        if bad := [label for label, of_label in found.items() if not 0 <= of_label.smallest_ml < float("inf")]:
            raise CheckpointError(f"the post-processing of label {bad[0]} drops pieces below no volume; train again")
        return cls(found)

    def as_stored(self) -> dict[int, dict[str, bool | float]]:
        """The rules in plain values."""
        return {label: asdict(rules) for label, rules in sorted(self.rules.items())}

    def apply(self, labels: np.ndarray, voxel_ml: float) -> dict[int, Change]:
        """Mends a label map in place, (X, Y, Z) uint8, and gives what changed by label value.

        Args:
            voxel_ml: volume of a voxel in millilitres.
        """
        if not self.rules:
            return {}
        changes = {label: Change() for label in self.rules}
        boxes = label_boxes(labels, max(self.rules))
        for label, rules in self.rules.items():
            if label in boxes and (rules.largest or rules.smallest_ml):
                changes[label] = _drop(labels[boxes[label]], label, rules, voxel_ml)
        for label, rules in self.rules.items():
            if label in boxes and rules.filled:
                changes[label] = changes[label]._replace(filled=_fill(labels[boxes[label]], label))
        return {label: change for label, change in changes.items() if any(change)}

    def memory(self, voxels: int) -> int:
        """Bytes that it takes for a label map of so many voxels, beside the map."""
        return BYTES_OF_VOXEL * min(voxels, SLAB_VOXELS) if self.rules else 0


def told_changes(changes: Mapping[int, Change], names: Mapping[int, str], voxel_ml: float) -> Iterator[str]:
    """What was mended, in a sentence; nothing if nothing was."""
    told = []
    for label, change in changes.items():
        many = "s" * (change.pieces != 1)
        parts = [f"{change.pieces} piece{many} of {change.dropped * voxel_ml:.3g} ml dropped"] * (change.pieces > 0)
        parts += [f"holes of {change.filled * voxel_ml:.3g} ml filled"] * (change.filled > 0)
        told.append(f"{names.get(label, f'label {label}')}: {' and '.join(parts)}")
    if told:
        yield f"post-processing ({'; '.join(told)})"


def _drop(labels: np.ndarray, label: int, rules: LabelRules, voxel_ml: float) -> Change:
    """Makes pieces that do not stay background, in the box of a label."""
    pieces = pieces_of_label(labels, label)
    goes = ~rules.staying(pieces.sizes, voxel_ml)
    if goes.any():
        _put(pieces, goes, 0)
    return Change(int(goes.sum()), int(pieces.sizes[goes].sum()))


def _fill(labels: np.ndarray, label: int) -> int:
    """Gives a label the holes in it, in its box; how many voxels that are."""
    holes, is_hole = find_holes(labels, label)
    if is_hole.any():
        _put(holes, is_hole, label)
    return int(holes.sizes[is_hole].sum())


def find_holes(labels: np.ndarray, label: int) -> tuple[Pieces, np.ndarray]:
    """The pieces of all that is not a label, and which of them are holes in it, (n,) boolean.

    A hole leads out of the label through no face of a voxel and is background throughout: what holds another organ,
    or is cut by the border of the scan, is none.

    Args:
        labels: (X, Y, Z), the box around the label.
    """
    others = find_pieces(labels, lambda slab: slab != label, BY_FACES)
    is_hole = np.ones(len(others.sizes) + 1, bool)
    for slab, numbers in others.numbers():
        is_hole[numbers[labels[slab] != 0]] = False
        for plane in _faces(numbers, slab, labels.shape):
            is_hole[plane] = False
    return others, is_hole[1:]


def _faces(numbers: np.ndarray, slab: Slab, shape: tuple[int, ...]) -> list[np.ndarray]:
    """The planes of a slab that lie on the faces of the whole."""
    axis = len(slab) - 1
    across = [numbers.take(end, other) for other in range(3) if other != axis for end in (0, -1)]
    first = [numbers.take(0, axis)] * (slab[axis].start == 0)
    last = [numbers.take(-1, axis)] * (slab[axis].start + numbers.shape[axis] == shape[axis])
    return [*across, *first, *last]


def _put(pieces: Pieces, which: np.ndarray, label: int) -> None:
    """Gives the voxels of some pieces, (n,) boolean, a label."""
    is_meant = np.append(False, which)
    for slab, numbers in pieces.numbers():
        pieces.labels[slab][is_meant[numbers]] = label
