"""Which rules of post-processing are kept for a label: those that make no validation case worse.

A rule is kept if, over the validation cases as `predict` segments them, on the scans' own grids,

- the mean Dice over the cases whose reference holds the label does not fall,
- no such case's own Dice falls by more than WORSE, so that one case does not pay for the others, and
- the volume that is wrong of the label, over all cases, becomes smaller, so that the rule does something.

The rules are tried in this order, each on top of those that were kept: the largest piece alone, only of a label that
is one piece in the references too (ONE_PIECE of its volume, in those of the training as well); the smallest volume,
which drops no piece that is mostly right, is at most half of the smallest reference, and of these the best; filled
holes.

Source: Isensee et al. 2021, nnU-Net, doi:10.1038/s41592-020-01008-z, has the first rule and the first condition.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from medssm.data.scans.label_values import label_boxes
from medssm.data.scans.labelled import IGNORED
from medssm.tasks.segmentation.pieces import pieces_of_label
from medssm.tasks.segmentation.postprocessing import LabelRules, find_holes

WORSE = 0.01
ONE_PIECE = 0.95
# In ml; of these the smallest volume is chosen.
SMALLEST = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


class Overlap(NamedTuple):
    """A label of a case in prediction and reference, in voxels of which the reference tells something."""

    predicted: int
    right: int
    expected: int
    voxel_ml: float

    @property
    def dice(self) -> float:
        """NaN where the reference does not hold the label."""
        return 2 * self.right / (self.predicted + self.expected) if self.expected else np.nan

    @property
    def wrong_ml(self) -> float:
        """The volume that is predicted and not expected, or the other way round."""
        return (self.predicted + self.expected - 2 * self.right) * self.voxel_ml


class PredictedPieces(NamedTuple):
    """The pieces of a label of a case, (n,) int64 each.

    Attributes:
        sizes: voxels. known: of them, where the reference tells something. right: where it gives the label.
        expected: voxels of the label in the reference. is_one: there it is one piece, or absent.
    """

    sizes: np.ndarray
    known: np.ndarray
    right: np.ndarray
    expected: int
    is_one: bool
    voxel_ml: float

    def under(self, rules: LabelRules) -> Overlap:
        """What is left by rules that drop pieces."""
        stays = rules.staying(self.sizes, self.voxel_ml)
        return Overlap(int(self.known[stays].sum()), int(self.right[stays].sum()), self.expected, self.voxel_ml)

    def mostly_right_ml(self, rules: LabelRules) -> float:
        """The volume of the smallest piece that is left and more right than wrong; infinite if there is none."""
        stays = rules.staying(self.sizes, self.voxel_ml) & (2 * self.right > self.known)
        return float(self.sizes[stays].min() * self.voxel_ml) if stays.any() else np.inf


def predicted_pieces(labels: np.ndarray, reference: np.ndarray, label: int, voxel_ml: float) -> PredictedPieces:
    """The pieces of a label in a label map, beside the reference, (X, Y, Z) uint8 both."""
    expected = int(np.count_nonzero(reference == label))
    one = is_one_piece(reference, label)
    box = label_boxes(labels, label).get(label)
    if box is None:
        none = np.zeros(0, np.int64)
        return PredictedPieces(none, none, none, expected, one, voxel_ml)
    pieces, there = pieces_of_label(labels[box], label), reference[box]
    known = pieces.voxels(lambda slab: there[slab] != IGNORED)
    right = pieces.voxels(lambda slab: there[slab] == label)
    return PredictedPieces(pieces.sizes, known, right, expected, one, voxel_ml)


def is_one_piece(reference: np.ndarray, label: int) -> bool:
    """Whether nearly all of a label is one piece of a map (X, Y, Z), or none of it is there."""
    box = label_boxes(reference, label).get(label)
    if box is None:
        return True
    sizes = pieces_of_label(reference[box], label).sizes
    return bool(sizes.max() >= ONE_PIECE * sizes.sum())


def overlap_when_filled(labels: np.ndarray, reference: np.ndarray, label: int, before: Overlap) -> Overlap:
    """The overlap of a label after its holes are filled in a label map from which pieces were dropped."""
    box = label_boxes(labels, label).get(label)
    if box is None:
        return before
    (holes, is_hole), there = find_holes(labels[box], label), reference[box]
    if not is_hole.any():
        return before
    known = int(holes.voxels(lambda slab: there[slab] != IGNORED)[is_hole].sum())
    right = int(holes.voxels(lambda slab: there[slab] == label)[is_hole].sum())
    return before._replace(predicted=before.predicted + known, right=before.right + right)


def improves(after: Sequence[Overlap], before: Sequence[Overlap]) -> bool:
    """Whether a rule is kept, by the overlaps of all cases with it and without it."""
    dice = [(new.dice, old.dice) for new, old in zip(after, before, strict=True) if old.expected]
    if not dice or any(new < old - WORSE for new, old in dice):
        return False
    return mean_dice(after) >= mean_dice(before) and _wrong_ml(after) < _wrong_ml(before)


def dropping_rules(cases: Sequence[PredictedPieces], is_one: Callable[[], bool]) -> LabelRules:
    """The rules that drop pieces of a label.

    Args:
        is_one: whether the label is one piece in the training; asked only if it matters.
    """
    plain, largest = LabelRules(), LabelRules(largest=True)
    is_better = improves([case.under(largest) for case in cases], [case.under(plain) for case in cases])
    rules = largest if is_better and all(case.is_one for case in cases) and is_one() else plain
    return _with_smallest(rules, cases)


def _with_smallest(rules: LabelRules, cases: Sequence[PredictedPieces]) -> LabelRules:
    """The rules with the volume below which pieces go, if there is one that is kept."""
    before = [case.under(rules) for case in cases]
    references = [case.expected * case.voxel_ml for case in cases if case.expected]
    most = min(min(references, default=0.0) / 2, *(case.mostly_right_ml(rules) for case in cases))
    better: list[tuple[tuple[float, float, float], LabelRules]] = []
    for volume in (volume for volume in SMALLEST if volume <= most):
        option = replace(rules, smallest_ml=volume)
        after = [case.under(option) for case in cases]
        if improves(after, before):
            better.append(((mean_dice(after), -_wrong_ml(after), -volume), option))
    return max(better, key=lambda entry: entry[0])[1] if better else rules


def mean_dice(cases: Sequence[Overlap]) -> float:
    """Over the cases whose reference holds the label; NaN if none does."""
    dice = [case.dice for case in cases if case.expected]
    return sum(dice) / len(dice) if dice else np.nan


def _wrong_ml(cases: Sequence[Overlap]) -> float:
    return sum(case.wrong_ml for case in cases)
