"""Post-processing learnt on validation cases, from what `predict` makes of them on their own grids."""

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import numpy as np

from medssm.data.scans.cases import ScanCase
from medssm.data.scans.geometry import voxel_volume
from medssm.data.scans.labelled import IGNORED, read_labels
from medssm.metrics.organ_scores import OrganScore, score_case
from medssm.metrics.summary import OrganSummary, summarise
from medssm.tasks.segmentation.dice import shown_dice
from medssm.tasks.segmentation.postprocessing import LabelRules, PostProcessing
from medssm.tasks.segmentation.rule_choice import (
    Overlap,
    dropping_rules,
    improves,
    mean_dice,
    overlap_when_filled,
    predicted_pieces,
)
from medssm.tasks.segmentation.runner import Predictor


@dataclass(frozen=True)
class Learnt:
    """What was learnt.

    Attributes:
        dice: by label, the mean Dice before and after, of the cases that hold it; NaN if none does.
        before, after: the mean of organs over the validation cases.
    """

    postprocessing: PostProcessing
    dice: dict[int, tuple[float, float]]
    before: OrganSummary
    after: OrganSummary

    def told(self, names: Mapping[int, str]) -> Iterator[str]:
        """What was learnt, a sentence for each label with rules and one for all."""
        if not self.postprocessing.rules:
            yield "post-processing: no rule makes a label better, so that all stay as they are"
            return
        for label, rules in self.postprocessing.rules.items():
            before, after = map(shown_dice, self.dice[label])
            yield f"post-processing of {names[label]}: {rules} (Dice {before}, then {after})"
        dice, hd95 = ([getattr(row, name).mean for row in (self.before, self.after)] for name in ("dice", "hd95"))
        if None not in (*dice, *hd95):
            yield (
                f"post-processing: mean Dice {dice[0]:.4f}, then {dice[1]:.4f}; mean HD95 {hd95[0]:.1f} mm, then "
                f"{hd95[1]:.1f} mm, on the cases that validate"
            )


class _Packed(NamedTuple):
    """A label map (X, Y, Z) uint8 that is kept while others are gone through."""

    content: bytes
    shape: tuple[int, ...]

    @classmethod
    def of(cls, labels: np.ndarray) -> "_Packed":
        return cls(zlib.compress(labels.tobytes(order="F"), 1), labels.shape)

    def unpacked(self) -> np.ndarray:
        """A copy that may be changed."""
        values = np.frombuffer(bytearray(zlib.decompress(self.content)), np.uint8)
        return values.reshape(self.shape, order="F")


class _Case(NamedTuple):
    """A validation case after its prediction."""

    name: str
    labels: _Packed
    reference: _Packed
    affine: np.ndarray

    @property
    def voxel_ml(self) -> float:
        return voxel_volume(self.affine) / 1000

    def maps(self, mending: PostProcessing) -> tuple[np.ndarray, np.ndarray]:
        """The mended label map and the reference."""
        labels = self.labels.unpacked()
        mending.apply(labels, self.voxel_ml)
        return labels, self.reference.unpacked()

    def scores(self, mending: PostProcessing, names: dict[int, str]) -> list[OrganScore]:
        """Of the organs, where something is known of them."""
        labels, reference = self.maps(mending)
        unknown = reference == IGNORED
        labels[unknown] = reference[unknown] = 0
        return score_case(labels, reference, self.affine, names, case=self.name)


def learn_postprocessing(
    predictor: Predictor,
    cases: Sequence[ScanCase],
    is_one_piece: Callable[[int], bool],
    is_stopped: Callable[[], bool] = lambda: False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Learnt | None:
    """The rules that make the labels of a predictor better on validation cases; None if it was stopped.

    Args:
        is_one_piece: whether a label is one piece in the cases of the training.
        progress: called with (cases done, cases).

    Raises: what `Predictor.predict` and `read_labels` raise.
    """
    predicted: list[_Case] = []
    for done, case in enumerate(cases):
        progress(done, len(cases))
        if is_stopped():
            return None
        predicted.append(_predicted(predictor, case))
    names = dict(predictor.names)
    before, dropping, dropped = _learn_dropping(predicted, names, is_one_piece)
    rules, after = _learn_filling(predicted, dropping, dropped)
    learnt = PostProcessing({label: of for label, of in rules.items() if of != LabelRules()})
    dice = {label: (mean_dice(before[label]), mean_dice(after[label])) for label in names}
    means = (_mean_of_organs(predicted, names, mending) for mending in (PostProcessing(), learnt))
    return Learnt(learnt, dice, *means)


def _predicted(predictor: Predictor, case: ScanCase) -> _Case:
    found = predictor.predict(case.images, postprocessing="none")
    return _Case(case.id, _Packed.of(found.labels), _Packed.of(read_labels(case, found.volume)), found.affine)


Overlaps = dict[int, list[Overlap]]


def _learn_dropping(
    cases: Sequence[_Case], names: dict[int, str], is_one_piece: Callable[[int], bool]
) -> tuple[Overlaps, dict[int, LabelRules], Overlaps]:
    """By label: the overlaps without rules, the rules that drop pieces, and the overlaps under them."""
    maps = (case.maps(PostProcessing()) for case in cases)
    tables = [
        {label: predicted_pieces(*both, label, case.voxel_ml) for label in names}
        for case, both in zip(cases, maps, strict=True)
    ]
    of_label = {label: [table[label] for table in tables] for label in names}
    rules = {label: dropping_rules(of, partial(is_one_piece, label)) for label, of in of_label.items()}
    before = {label: [case.under(LabelRules()) for case in of] for label, of in of_label.items()}
    return before, rules, {label: [case.under(rules[label]) for case in of] for label, of in of_label.items()}


def _learn_filling(
    cases: Sequence[_Case], dropping: dict[int, LabelRules], before: Overlaps
) -> tuple[dict[int, LabelRules], Overlaps]:
    """By label: the rules that drop, and fill where that is kept, and the overlaps under them."""
    filled: Overlaps = {label: [] for label in dropping}
    for place, case in enumerate(cases):
        both = case.maps(PostProcessing(dropping))
        for label in dropping:
            filled[label].append(overlap_when_filled(*both, label, before[label][place]))
    fills = {label for label in dropping if improves(filled[label], before[label])}
    rules = {label: replace(of, filled=label in fills) for label, of in dropping.items()}
    return rules, {label: (filled if label in fills else before)[label] for label in dropping}


def _mean_of_organs(cases: Sequence[_Case], names: dict[int, str], mending: PostProcessing) -> OrganSummary:
    return summarise([score for case in cases for score in case.scores(mending, names)])[-1]
