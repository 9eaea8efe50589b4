"""A network on the validation cases of a dataset, in the published protocol and on the scans' own grids."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from medssm.data.layouts.scans.splits import is_published_split
from medssm.data.scans.cache import PreprocessedCases
from medssm.data.scans.cases import ScanCase
from medssm.data.scans.labelled import IGNORED, read_labels, unnamed_labels
from medssm.errors import DataError, UsageError
from medssm.tasks.measured import Measured, ShippedNetwork, Table, figure_or_none
from medssm.tasks.segmentation.dice import dice_per_class, mean_of_cases, shown_dice
from medssm.tasks.segmentation.runner import Predictor, PredictSettings
from medssm.tasks.segmentation.samples import check_classes, open_scans, scan_digest
from medssm.tasks.segmentation.settings import SegmentationRecipe

# Of BTCV alone.
REMARK = (
    "The published figures are those of the checkpoint that was best on six validation cases, the same that chose it, "
    "so none is a held-out figure; and the code that reports them gives the last case alone, with background."
)

# What the published protocol is, whatever a recipe says.
AS_PUBLISHED = PredictSettings(overlap=0.5, blending="constant", padding="constant", batch=1)


@dataclass(frozen=True)
class CaseDice:
    """Dice of one case by class, background first; NaN where the reference does not hold it.

    Attributes:
        network_grid: as published: resampled, cropped, never mapped back.
        own_grid: on the scan's own grid.
        is_seen: the network was trained on the case, which then counts in no mean.
    """

    case: str
    network_grid: Tensor
    own_grid: Tensor
    is_seen: bool = False


@dataclass(frozen=True)
class Validation(Measured):
    """The validation of one network.

    Attributes:
        names: label value -> name of the organs.
        spacing: (x, y, z) in mm of the network's grid.
        remark: what is to be known of published figures; "" where there are none.
    """

    model: str
    weights: str
    dataset: str
    names: dict[int, str]
    spacing: tuple[float, float, float]
    cases: tuple[CaseDice, ...]
    remark: str = ""

    @property
    def unseen(self) -> list[CaseDice]:
        """The cases that the network was not trained on, as far as its weights say."""
        return [case for case in self.cases if not case.is_seen]

    def summary(self) -> dict[str, Any]:
        """The figures that can be compared with published ones, each with what it is a mean of."""
        cases = self.unseen
        last = cases[-1]
        return {
            "cases": len(cases),
            "seen_in_training": [case.case for case in self.cases if case.is_seen],
            "absent": int(sum(case.own_grid[1:].isnan().sum() for case in cases)),
            "network_grid": _means([case.network_grid for case in cases]),
            "own_grid": _means([case.own_grid for case in cases]),
            "last_case": {"case": last.case, "dice_with_background": float(last.network_grid.nanmean())},
            "remark": self.remark,
        }

    def rows(self) -> list[dict[str, Any]]:
        """One row per case and class."""
        names = {0: "background", **self.names}
        return [
            {
                "case": case.case,
                "label": label,
                "organ": name,
                "network_grid": _rounded(case.network_grid[label]),
                "own_grid": _rounded(case.own_grid[label]),
                "seen_in_training": case.is_seen,
            }
            for case in self.cases
            for label, name in names.items()
        ]

    def document(self) -> dict[str, Any]:
        head = {"model": self.model, "weights": self.weights, "dataset": self.dataset, "spacing": self.spacing}
        return {**head, "summary": self.summary(), "scores": self.rows()}

    @property
    def title(self) -> str:
        return f"{self.model}, {len(self.cases)} validation cases of {self.dataset}"

    def table(self) -> Table:
        summary, grid = self.summary(), " x ".join(f"{side:g}" for side in self.spacing)
        grids, keys = ("network_grid", "own_grid"), ("dice", "dice_with_background")
        rows = [
            (
                f"{case.case}{' (seen in training)' * case.is_seen}",
                *(shown_dice(float(m)) for dice in _grids(case) for m in (dice[1:].nanmean(), dice.nanmean())),
            )
            for case in self.cases
        ]
        rows.append((f"mean of {summary['cases']}", *(shown_dice(summary[of][key]) for of in grids for key in keys)))
        published = f"as published: {grid} mm grid, cropped"
        header = ("case", published, "... with background", "own grid", "... with background")
        return Table(header, rows, has_total=True)

    def remarks(self) -> str:
        summary, seen = self.summary(), len(self.cases) - len(self.unseen)
        trained = f"The network was trained on {seen} of the cases, which count in no mean. " if seen else ""
        last, figure = summary["last_case"]["case"], shown_dice(summary["last_case"]["dice_with_background"])
        return (
            f"{trained}Each figure is the mean over the organs that a case's reference holds; {summary['absent']} were "
            f"absent. The last case alone, with background, as the original prints it: {figure} ({last}). {self.remark}"
        ).strip()


def measure_cases(
    subject: ShippedNetwork[Predictor], recipe: SegmentationRecipe, progress: Callable[[int, int], None]
) -> Validation:
    """The Dice of a network on the validation cases of a recipe's dataset.

    Args:
        progress: called with (cases done, cases).

    Raises: UsageError or DataError if there is no dataset, the network lacks a label of it, or has seen all its cases.
    """
    predictor, dataset = subject.runner, open_scans(recipe, subject.metadata.fold)
    check_classes(predictor.classes, dataset)
    is_seen = [scan_digest(*case.images) in subject.metadata.trained_on for case in dataset.validation]
    if all(is_seen):
        raise UsageError(
            f"{subject.weights}: the network was trained on all {len(is_seen)} validation cases of {dataset.source}; "
            "give the split that it was trained by (data.fold), or other cases"
        )
    preprocessed = PreprocessedCases(dataset.validation, predictor.preprocessing)
    scored: list[CaseDice] = []
    for case, on_network_grid, seen in zip(dataset.validation, preprocessed, is_seen, strict=True):
        progress(len(scored), len(dataset.validation))
        reference = on_network_grid.reference
        stored = on_network_grid.stored_counts.nonzero().flatten().tolist()
        if unnamed := unnamed_labels(stored, dataset.label_names, IGNORED):
            raise DataError(f"{case.reference}: {unnamed} (medssm data check {dataset.folder} lists all)")
        labels = predictor.on_network_grid(on_network_grid.image, AS_PUBLISHED)
        published = dice_per_class(labels, reference, predictor.classes)
        scored.append(CaseDice(case.id, published, _own_dice(predictor, case), seen))
    progress(len(scored), len(scored))
    return Validation(
        subject.metadata.model,
        subject.weights,
        dataset.name,
        dataset.label_names,
        predictor.preprocessing.spacing,
        tuple(scored),
        REMARK if is_published_split(dataset) else "",
    )


def _own_dice(predictor: Predictor, case: ScanCase) -> Tensor:
    """Of the label map that `predict` gives, beside the reference turned to run as the scan does."""
    found = predictor.predict(case.images)
    labels, right = (np.ascontiguousarray(array) for array in (found.labels, read_labels(case, found.volume)))
    return dice_per_class(torch.from_numpy(labels), torch.from_numpy(right), predictor.classes)


def _grids(case: CaseDice) -> tuple[Tensor, Tensor]:
    return case.network_grid, case.own_grid


def _means(dice: list[Tensor]) -> dict[str, float | None]:
    """Means over cases of each case's mean, over the organs that it holds and with background."""
    return {
        "dice": _rounded(mean_of_cases(dice)),
        "dice_with_background": _rounded(np.mean([float(case.nanmean()) for case in dice])),
    }


def _rounded(value: Any) -> float | None:
    return figure_or_none(round(float(value), 6))
