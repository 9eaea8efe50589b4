"""A cross-validation: the folds of a dataset trained one after the other, and one table over all their cases."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

from medssm.data.layouts.scans.dataset import load_dataset
from medssm.data.scans.cases import ScanDataset
from medssm.errors import UsageError
from medssm.files import atomic_path, json_text
from medssm.recipes.loading import dump_recipe, load_recipe
from medssm.recipes.planning import PLANNED, plan_recipe
from medssm.recipes.running import train
from medssm.tasks.measured import measure
from medssm.tasks.segmentation.cross_validation import CrossValidation, cross_validation
from medssm.tasks.segmentation.samples import open_scans
from medssm.tasks.segmentation.scores import Validation
from medssm.tasks.segmentation.settings import SegmentationRecipe
from medssm.tasks.settings import Recipe
from medssm.tasks.weights import BEST
from medssm.training import Outcome

_FOLDS, _RECIPE, _TABLE = "folds.json", "recipe.yaml", "cross_validation"
Say = Callable[[str], None]


class Folds(NamedTuple):
    """What became of a cross-validation.

    Attributes:
        outcome: of the last training; None if all had been trained before.
        table: over all cases; None as long as a fold is missing, or a training was stopped.
    """

    outcome: Outcome | None
    table: CrossValidation | None


def is_cross_validation(folder: Path) -> bool:
    """Whether a folder holds a cross-validation that was begun."""
    return (folder / _FOLDS).is_file()


def train_folds(
    recipe: str | Path | None,
    model: str | None,
    overrides: Mapping[str, Any],
    folder: Path,
    *,
    count: int | None = None,
    only: Sequence[int] = (),
    resume: bool = False,
    say: Say = lambda line: None,
) -> Folds:
    """Trains the folds of a dataset into folder/fold0, folder/fold1 ..., each once.

    Args:
        recipe, model, overrides: as for `train`; None, None and no overrides with `resume`.
        count: how many folds the dataset must have; None with `resume`.
        only: the folds that this call trains, as when machines share the work; all if empty.
        resume: go on with what is left; a fold that was trained to its end is kept.

    Raises: UsageError on another number of folds, another split than the one that was begun, or wrong settings; what
        `train` raises.
    """
    if resume and not is_cross_validation(folder):
        raise UsageError(f"{folder}: holds no cross-validation to go on with; leave --resume out to begin one")
    settings = _begun(folder) if is_cross_validation(folder) else _begin(folder, recipe, model, overrides, count, say)
    splits = list(_splits(settings))
    _refuse_other_split(folder, splits)
    outcome = None
    for fold in only or range(len(splits)):
        if fold >= len(splits):
            last = len(splits) - 1
            raise UsageError(f"{settings.data.folder}: has the folds 0 to {last}; fold {fold} is none of them")
        outcome = _train_one(folder, fold, say)
        if outcome.signal:
            return Folds(outcome, None)
    if not all((folder / f"fold{fold}" / BEST).is_file() for fold in range(len(splits))):
        return Folds(outcome, None)
    return Folds(outcome, _measured(folder, settings, splits))


def _begin(
    folder: Path,
    recipe: str | Path | None,
    model: str | None,
    overrides: Mapping[str, Any],
    count: int | None,
    say: Say,
) -> SegmentationRecipe:
    """Writes the recipe that all folds share, planned from all cases if it is to be planned, and the split."""
    if recipe is None:
        raise UsageError("give a recipe such as btcv, or --resume to continue a cross-validation")
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder}: already holds files; choose another folder with --out")
    settings: Recipe = load_recipe(recipe, model, overrides)
    if not isinstance(settings, SegmentationRecipe):
        raise UsageError(f"--folds: {settings.name} trains no network for scans; only datasets of scans have folds")
    splits = list(_splits(settings))
    _refuse_other_count(settings, len(splits), count)
    text = dump_recipe(settings)
    if str(recipe) == PLANNED:
        planned = plan_recipe(model, overrides, of_all=True)
        for line in planned.plan.lines:
            say(line)
        settings, text = planned.recipe, planned.text
    with atomic_path(folder / _RECIPE) as temporary:
        temporary.write_text(text, encoding="utf-8")
    with atomic_path(folder / _FOLDS) as temporary:
        temporary.write_text(json_text([_named(split) for split in splits]), encoding="utf-8")
    return settings


def _refuse_other_count(settings: SegmentationRecipe, there: int, count: int | None) -> None:
    """Raises UsageError if a dataset has another number of folds than was asked for."""
    folder = settings.data.folder
    if there == 1:
        raise UsageError(
            f"{folder}: names its own validation cases, or its scans are of one patient, which is no cross-validation; "
            "list all cases as training to have folds made of them"
        )
    if there != count:
        raise UsageError(f"{folder}: is divided into {there} folds, not {count}; give --folds {there}")


def _begun(folder: Path) -> SegmentationRecipe:
    return cast(SegmentationRecipe, load_recipe(folder / _RECIPE))


def _splits(settings: SegmentationRecipe) -> Iterator[ScanDataset]:
    """The dataset with the cases of each fold, as far as there are any."""
    first = open_scans(settings.model_copy(update={"data": settings.data.model_copy(update={"fold": 0})}))
    yield first
    for fold in range(1, len(first.training) + len(first.validation)):
        try:
            split = load_dataset(first.folder if settings.data.folder == "phantom" else str(settings.data.folder), fold)
        except UsageError:  # there is no such fold
            return
        yield split


def _named(split: ScanDataset) -> dict[str, list[str]]:
    return {part: sorted(case.id for case in getattr(split, part)) for part in ("training", "validation")}


def _refuse_other_split(folder: Path, splits: Sequence[ScanDataset]) -> None:
    """Raises UsageError if the cases are divided otherwise than when the cross-validation was begun."""
    try:
        known = json.loads((folder / _FOLDS).read_text(encoding="utf-8"))
    except ValueError as error:
        raise UsageError(f"{folder / _FOLDS}: cannot be read; begin anew in another --out") from error
    if known != [_named(split) for split in splits]:
        raise UsageError(
            f"{folder}: was begun with other cases or another split ({_FOLDS} names them); give the dataset as it was, "
            "or begin anew in another --out"
        )


def _train_one(folder: Path, fold: int, say: Say) -> Outcome:
    run = folder / f"fold{fold}"
    say(f"fold {fold}: {run}")
    if (run / _RECIPE).is_file():
        return train(None, folder=run, resume=True)
    return train(folder / _RECIPE, overrides={"data.fold": fold}, folder=run)


def _measured(folder: Path, settings: SegmentationRecipe, splits: Sequence[ScanDataset]) -> CrossValidation:
    """The table over all cases, which is also written into the folder."""
    validations = {}
    for fold in range(len(splits)):
        of_fold = settings.model_copy(update={"data": settings.data.model_copy(update={"fold": fold})})
        validations[fold] = cast(Validation, measure(of_fold, folder / f"fold{fold}"))
    found = cross_validation(splits[0], validations)
    found.write_json(folder / f"{_TABLE}.json")
    found.write_csv(folder / f"{_TABLE}.csv")
    return found
