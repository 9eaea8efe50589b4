"""Every case of a dataset scored by the network that has not seen it: one table over all folds."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from medssm.data.layouts.scans.splits import patients_of
from medssm.data.scans.cases import ScanDataset
from medssm.errors import DataError
from medssm.tasks.measured import Measured, Table, figure_or_none
from medssm.tasks.segmentation.dice import organ_mean, shown_dice
from medssm.tasks.segmentation.scores import CaseDice, Validation

_RESAMPLES, _SEED = 2000, 0


@dataclass(frozen=True)
class CrossValidation(Measured):
    """The validations of all folds.

    Attributes:
        folds: by the number of the fold.
        patients: case -> whose scan it is.
    """

    folds: Mapping[int, Validation]
    patients: Mapping[str, str]

    @property
    def names(self) -> dict[int, str]:
        """Label value -> name."""
        return next(iter(self.folds.values())).names

    @property
    def cases(self) -> list[CaseDice]:
        """Of all folds."""
        return [case for fold in self.folds.values() for case in fold.cases]

    def mean(self) -> float:
        """The mean over cases of each case's mean over its organs, on the scans' own grids; NaN if none has any."""
        return float(np.nanmean(self._means())) if np.isfinite(self._means()).any() else float("nan")

    def interval(self) -> tuple[float, float]:
        """The 2.5th and 97.5th percentile of that mean over 2000 bootstrap samples of the patients.

        Source: Efron 1979 (doi:10.1214/aos/1176344552); patients are drawn, as scans of one are no two draws.
        """
        groups: dict[str, list[float]] = {}
        for case, mean in zip(self.cases, self._means(), strict=True):
            if np.isfinite(mean):
                groups.setdefault(self.patients.get(case.case, case.case), []).append(mean)
        if len(groups) < 2:
            return float("nan"), float("nan")
        sums, counts = (np.array([f(values) for values in groups.values()]) for f in (sum, len))
        drawn = np.random.default_rng(_SEED).integers(len(groups), size=(_RESAMPLES, len(groups)))
        low, high = np.percentile(sums[drawn].sum(1) / counts[drawn].sum(1), (2.5, 97.5)).tolist()
        return low, high

    def organs(self) -> dict[str, float]:
        """Organ -> its mean Dice over the cases that hold it; NaN where none does."""
        every = torch.stack([case.own_grid for case in self.cases])
        return {name: float(every[:, label].nanmean()) for label, name in self.names.items()}

    def document(self) -> dict[str, Any]:
        low, high = self.interval()
        return {
            "cases": len(self.cases),
            "patients": len({self.patients.get(case.case, case.case) for case in self.cases}),
            "dice": figure_or_none(self.mean()),
            "interval_95": [figure_or_none(low), figure_or_none(high)],
            "folds": {fold: figure_or_none(_fold_mean(of_fold)) for fold, of_fold in self.folds.items()},
            "organs": {name: figure_or_none(dice) for name, dice in self.organs().items()},
            "scores": self.rows(),
        }

    def rows(self) -> list[dict[str, Any]]:
        return [{"fold": fold, **row} for fold, of_fold in self.folds.items() for row in of_fold.rows()]

    @property
    def title(self) -> str:
        first = next(iter(self.folds.values()))
        return f"{first.model}, {len(self.cases)} cases of {first.dataset} in {len(self.folds)} folds"

    def table(self) -> Table:
        rows = [(f"fold {fold}", str(len(v.cases)), shown_dice(_fold_mean(v))) for fold, v in self.folds.items()]
        rows += [
            (name, str(sum(bool(case.own_grid[label].isfinite()) for case in self.cases)), shown_dice(dice))
            for (label, name), dice in zip(self.names.items(), self.organs().values(), strict=True)
        ]
        rows.append(("all", str(len(self.cases)), shown_dice(self.mean())))
        return Table(("", "cases", "Dice on the scans' own grids"), rows, has_total=True)

    def remarks(self) -> str:
        low, high = map(shown_dice, self.interval())
        return (
            f"Each case is scored by the network of its fold, which has not seen it. The mean over cases is "
            f"{shown_dice(self.mean())}; 95 % of {_RESAMPLES} bootstrap samples of the patients have one from {low} to "
            f"{high}. The weights of a fold are those that were best on the very cases that score it, which flatters "
            "them."
        )

    def _means(self) -> np.ndarray:
        return np.array([organ_mean(case.own_grid) for case in self.cases])


def cross_validation(dataset: ScanDataset, folds: Mapping[int, Validation]) -> CrossValidation:
    """All folds of a dataset together.

    Args:
        dataset: any fold of it.

    Raises: DataError if a case is scored twice, or in no fold.
    """
    cases = dataset.training + dataset.validation
    scored = [case.case for validation in folds.values() for case in validation.cases]
    twice = sorted({case for case in scored if scored.count(case) > 1})
    if twice:
        raise DataError(f"{dataset.source}: case {twice[0]} validates in two folds, which counts it twice; correct it")
    if missing := sorted({case.id for case in cases} - set(scored)):
        there = ", ".join(str(fold) for fold in sorted(folds))
        raise DataError(f"{dataset.source}: case {missing[0]} validates in none of the folds {there}; correct it")
    return CrossValidation(dict(sorted(folds.items())), patients_of(cases))


def _fold_mean(fold: Validation) -> float:
    means = [mean for case in fold.cases if np.isfinite(mean := organ_mean(case.own_grid))]
    return float(np.mean(means)) if means else float("nan")
