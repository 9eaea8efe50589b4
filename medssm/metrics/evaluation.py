"""Label maps against reference label maps: the scores of every case, and the files that hold them."""

import csv
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from medssm.data.scans.label_values import label_counts
from medssm.data.scans.organ_masks import LabelLayers, folded, on_one_grid
from medssm.errors import UsageError
from medssm.files import atomic_path, json_text, spreadsheet_cell
from medssm.metrics.organ_scores import CodedMap, OrganScore, coded_map, score_organs
from medssm.metrics.organs import LabelTable, Organ, match_organs
from medssm.metrics.pairing import CaseFiles, pair
from medssm.metrics.summary import Mean, OrganSummary, summarise

_SIDES = ("predictions", "references")


@dataclass(frozen=True)
class Evaluation:
    """The outcome of an evaluation.

    Attributes:
        scores: one for each case and organ.
        tolerance: of the surface Dice, in mm.
        without_prediction: references that no prediction belongs to.
        without_reference: predictions that no reference belongs to.
        cases: the files of each case, by its name.
        notes: what a user should know of the files and the scores, one sentence each.
        names, mapping: as they were given to `evaluate`.
    """

    scores: list[OrganScore]
    tolerance: float
    without_prediction: list[Path]
    without_reference: list[Path]
    cases: dict[str, CaseFiles] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    names: Mapping[int, str] | None = None
    mapping: Sequence[tuple[str, str]] = ()

    @property
    def summary(self) -> list[OrganSummary]:
        """Means over cases, an organ a row, and all organs together in the last."""
        return summarise(self.scores)

    def write_csv(self, path: str | Path) -> None:
        """One row for each case and organ; an empty field where an organ is absent in both.

        A text that a spreadsheet would take for a formula gets a ' before it.
        """
        with (
            atomic_path(path) as temporary,
            open(temporary, "w", newline="", encoding="utf-8", errors="backslashreplace") as file,
        ):
            writer = csv.writer(file)
            writer.writerow(OrganScore._fields)
            writer.writerows(map(spreadsheet_cell, score) for score in self.scores)

    def write_json(self, path: str | Path) -> None:
        """Summary, scores, tolerance in mm, the files that had no partner, and notes."""
        content = {
            "tolerance_mm": self.tolerance,
            "summary": [_as_dict(row) for row in self.summary],
            "scores": [score._asdict() for score in self.scores],
            "without_prediction": [str(path) for path in self.without_prediction],
            "without_reference": [str(path) for path in self.without_reference],
            "notes": self.notes,
        }
        with atomic_path(path) as temporary:
            temporary.write_text(json_text(content), encoding="utf-8")


@dataclass(frozen=True, eq=False)
class CaseMaps:
    """Both label maps of a case on one grid, coded by the place of each organ in `organs`, from 1.

    Attributes:
        affine: (4, 4) voxel indices to mm.
        tables: the labels of the prediction and of the reference.
        notes: what a user should know of the files, one sentence each.
    """

    prediction: CodedMap
    reference: CodedMap
    affine: np.ndarray
    organs: list[Organ]
    tables: tuple[LabelTable, LabelTable]
    notes: tuple[str, ...]


def evaluate(
    predictions: str | Path,
    references: str | Path,
    tolerance: float = 2.0,
    names: Mapping[int, str] | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    mapping: Sequence[tuple[str, str]] = (),
) -> Evaluation:
    """Scores a label map, or a folder of them, against the reference of the same case.

    Two files are one case if both are single files, or by their paths below the two folders (`pairing.pair` says how);
    a folder with a mask for each organ is one label map. A reference on the same grid whose axes run another way is
    turned; nothing is resampled.

    Which labels are one organ is decided by `mapping`, else by the names in the files where both have them, else by
    the numbers. An organ that only the reference has is missed. One that only predictions have is spurious, unless the
    references have names and none of them has this one: then they do not tell, and a note says that it is left out.

    Args:
        predictions, references: a label map or a folder of label maps each.
        tolerance: of the surface Dice, in mm.
        names: label value -> name in both maps, in place of the names in the files; a label that neither names is
            "label 7".
        progress: called with the number of cases done and their total.
        mapping: (label of predictions, label of references) as numbers or names, as `organs.read_mapping` gives them.

    Raises:
        GeometryError: a prediction and its reference lie on different grids.
        DataError: no prediction has a reference, several have one, or a label map holds no whole numbers.
        UsageError: the tolerance is no length, or no file has a label of `mapping`.
    """
    if not (math.isfinite(tolerance) and tolerance >= 0):
        raise UsageError(f"tolerance {tolerance:g} mm: must be a length from 0 on, such as 2")
    cases, alone, unasked = pair(Path(predictions), Path(references))
    tally = _Tally(names, mapping)
    for done, case in enumerate(cases):
        progress(done, len(cases))
        tally.add(case.name, read_case(case, names, mapping), tolerance)
    progress(len(cases), len(cases))
    tally.check_mapping()
    scores, notes = tally.finished()
    by_name = {case.name: case for case in cases}
    return Evaluation(scores, tolerance, alone, unasked, by_name, notes, names, mapping)


def read_case(
    case: CaseFiles, names: Mapping[int, str] | None = None, mapping: Sequence[tuple[str, str]] = ()
) -> CaseMaps:
    """Both label maps of a case, turned to lie alike; see `evaluate` for the arguments and what is raised."""
    prediction, reference = case.prediction.read(), case.reference.read()
    prediction, reference = on_one_grid(prediction, reference)
    tables = _table(prediction, names), _table(reference, names)
    if not mapping:
        _refuse_made_up_numbers(case, tables)
    organs = match_organs(*tables, mapping)
    notes, affine = (*prediction.notes, *reference.notes), prediction.affine
    # One after the other, so that a map as it was read is gone before the next one is coded.
    predicted = coded_map(prediction.layers, [organ.predicted for organ in organs])
    del prediction
    expected = coded_map(reference.layers, [organ.expected for organ in organs])
    return CaseMaps(predicted, expected, affine, organs, tables, notes)


def _refuse_made_up_numbers(case: CaseFiles, tables: tuple[LabelTable, LabelTable]) -> None:
    """Raises UsageError if a map without names would be compared with masks of organs, whose numbers are ours."""
    sides = (case.prediction, case.reference)
    for masks, other, table in zip(sides, reversed(sides), reversed(tables), strict=True):
        if masks.masks and not table.names and len(table.labels) > 1:
            raise UsageError(
                f"{other.path}: has no names for its labels, and {masks.path} is a mask for each organ; say which "
                "label is which organ (--names 1=spleen, or --map)"
            )


def _table(labels: LabelLayers, names: Mapping[int, str] | None) -> LabelTable:
    present = frozenset(label for layer in labels.layers for label in label_counts(layer))
    return LabelTable(labels.names if names is None else names, present)


class _Tally:
    """Scores of cases as they come in, under one name for each organ."""

    def __init__(self, names: Mapping[int, str] | None, mapping: Sequence[tuple[str, str]]) -> None:
        self.names, self.mapping = names, mapping
        self.scores: dict[str, dict[str, OrganScore]] = {}
        self.notes: list[str] = []
        self.titles: dict[str, tuple[int, str]] = {}
        self.expected: set[str] = set()
        self.has_unnamed_reference = names is not None
        self.met: set[tuple[int, str]] = set()
        self.by_number: set[tuple[bool, bool]] = set()  # whether predictions and references had names, where not both
        self.meant: dict[tuple[int, str], dict[str, str]] = {}  # side and number of a mapping -> what files call it

    def add(self, name: str, maps: CaseMaps, tolerance: float) -> None:
        """Takes in the scores of one case."""
        self.notes += maps.notes
        self.has_unnamed_reference |= not maps.tables[1].names
        self.expected |= {folded(organ.name) for organ in maps.organs if organ.expected}
        named = bool(maps.tables[0].names), bool(maps.tables[1].names)
        self.by_number |= {named} if any(named) and not all(named) and not self.mapping else set()
        for pair_of_labels in self.mapping:
            for side, text in enumerate(pair_of_labels):
                self._meet(side, text, maps.tables[side])
        of_case = self.scores[name] = {}
        for score in score_organs(maps.prediction, maps.reference, maps.affine, maps.organs, tolerance, name):
            key = folded(score.organ)
            if key not in self.titles:
                self.titles[key] = (self._free_label(score.label), score.organ)
            label, title = self.titles[key]
            of_case[key] = score._replace(label=label, organ=title)
        statuses = {score.status for score in of_case.values()}
        if "missed" in statuses and "spurious" in statuses and "scored" not in statuses:
            self.notes.append(
                f"{name}: no label of the prediction is one of the reference; if they number or name organs "
                "differently, say which belong together (--map prediction=reference)"
            )

    def _meet(self, side: int, text: str, table: LabelTable) -> None:
        """Notes that a label of the mapping occurs, and what it is called there.

        Raises: UsageError if a number is another organ than in the files before.
        """
        labels = table.find(text)
        self.met |= {(side, text)} if labels else set()
        if not text.isdecimal() or not (name := table.names.get(int(text))):
            return
        known = self.meant.setdefault((side, text), {})
        known.setdefault(folded(name), name)
        if len(known) > 1:
            first, second, *_ = known.values()
            raise UsageError(
                f"--map: label {text} is {first} in some of the {_SIDES[side]} and {second} in others; give its name "
                "in place of the number"
            )

    def _free_label(self, wanted: int) -> int:
        """The number, or the next one that no other organ has: files may number their organs differently."""
        used = {label for label, _ in self.titles.values()}
        return next(label for label in itertools.count(wanted) if label not in used)

    def check_mapping(self) -> None:
        """Raises UsageError if a label of the mapping is in no file."""
        for pair_of_labels in self.mapping:
            for side, text in enumerate(pair_of_labels):
                if (side, text) not in self.met:
                    left, right = pair_of_labels
                    raise UsageError(f"--map {left}={right}: the {_SIDES[side]} have no label {text}; correct it")

    def finished(self) -> tuple[list[OrganScore], list[str]]:
        """The scores of every case, a row for each organ of any case, and what was noted."""
        unknown = [] if self.has_unnamed_reference else [key for key in self.titles if key not in self.expected]
        left_out = [self.titles[key][1] for key in unknown if any(key in scores for scores in self.scores.values())]
        order = sorted((key for key in self.titles if key not in unknown), key=lambda key: self.titles[key][0])
        scores = [
            of_case.get(key, OrganScore(case, *self.titles[key], "absent", None, None, None, 0.0, 0.0))
            for case, of_case in self.scores.items()
            for key in order
        ]
        notes = list(self.notes)
        for has_predicted, _ in sorted(self.by_number):
            named, unnamed = _SIDES if has_predicted else reversed(_SIDES)
            notes.append(
                f"the {named} name their labels and the {unnamed} do not, so that numbers alone decide which are one "
                "organ; if the two number organs differently, give --map prediction=reference"
            )
        if not order:
            notes.append("neither predictions nor references hold a label; there is nothing to score")
        if left_out:
            notes.append(f"not scored, since the references do not name them: {', '.join(left_out)}")
        return scores, notes


def _as_dict(row: OrganSummary) -> dict[str, object]:
    return {k: v._asdict() if isinstance(v, Mean) else v for k, v in row._asdict().items()}
