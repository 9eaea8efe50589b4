"""Which cases train and which validate: as the list says, or in folds of patients where it says nothing."""

import hashlib
import re
from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import pairwise

from medssm.data.scans.case_names import patient_named
from medssm.data.scans.cases import ScanCase, ScanDataset
from medssm.errors import UsageError

# The split of the published work (TransUNet, UNETR, Mamba-ND): 24 cases train, 6 validate.
PUBLISHED_TRAINING = frozenset((*range(1, 11), *range(21, 35)))
PUBLISHED_VALIDATION = frozenset(range(35, 41))

# Folds that are made where nobody has said which cases validate.
FOLDS = 5


def btcv_number(case: ScanCase) -> int | None:
    """The number of a case that is called as in BTCV, img0001; None of another name."""
    match = re.fullmatch(r"img(\d{4})", case.id)
    return int(match[1]) if match else None


def is_published_split(dataset: ScanDataset) -> bool:
    """Whether the cases that validate are the six of the published work on BTCV, by their names."""
    return {btcv_number(case) for case in dataset.validation} == PUBLISHED_VALIDATION


def with_split(dataset: ScanDataset, fold: int) -> ScanDataset:
    """The dataset with cases that validate: its own, else by the folds that its list gives or by folds of patients.

    Raises: UsageError if there is no such fold.
    """
    if dataset.validation:
        return own_split(dataset, fold)
    if any(case.fold is not None for case in dataset.training):
        check_fold(dataset, fold, {case.fold for case in dataset.training if case.fold is not None})
        return _validated_by(dataset, {case.id for case in dataset.training if case.fold == fold})
    patients = patients_of(dataset.training)
    folds = _folds(dataset.training, patients)
    check_fold(dataset, fold, range(len(folds)))
    return _validated_by(dataset, {case.id for case in dataset.training if patients[case.id] in folds[fold]})


def own_split(dataset: ScanDataset, fold: int) -> ScanDataset:
    """A dataset that names its own validation cases, which are one fold.

    Raises: UsageError if another fold is asked for.
    """
    if fold:
        raise UsageError(
            f"{dataset.source}: names its own validation cases, which is one split, so there is no fold {fold}; give "
            "data.fold=0, or have folds made by listing all cases as training"
        )
    return dataset


def lacking_side(dataset: ScanDataset) -> str:
    """Why a dataset cannot be trained on and validated, in words; "" if it can."""
    if dataset.training and dataset.validation:
        return ""
    return (
        f"lists {len(dataset.training)} training and {len(dataset.validation)} validation cases with labels, of "
        "different patients; both are needed"
    )


def check_fold(dataset: ScanDataset, fold: int, folds: Collection[int]) -> None:
    """Raises UsageError if a fold is none of those that there are."""
    if fold not in folds:
        numbers = sorted(folds)
        is_gapless = numbers == list(range(len(numbers))) and len(numbers) > 1
        shown = f"0 to {numbers[-1]}" if is_gapless else ", ".join(map(str, numbers))
        raise UsageError(f"{dataset.source}: has the folds {shown}; fold {fold} is none of them")


def patients_of(cases: Sequence[ScanCase]) -> dict[str, str]:
    """Case -> whose scan it is, as the list says or else the names tell.

    Names that would make all scans one patient's begin with the data set's name, not with a patient's.
    """
    named = {case.id: case.patient or patient_named(case.image) for case in cases}
    if len(set(named.values())) == 1 and not any(case.patient for case in cases):
        return {case.id: case.id for case in cases}
    return named


def _folds(cases: Sequence[ScanCase], patients: dict[str, str]) -> list[set[str]]:
    """The patients that validate in each fold; a single patient only trains.

    The first fold is the published one for BTCV's names. Else, and for the other folds, a hash of the names decides,
    which keeps nearly all patients where they are when one is added.
    """
    numbers = {case.id: btcv_number(case) or 0 for case in cases}
    known = set(numbers.values())
    first: set[str] = set()
    if known <= PUBLISHED_TRAINING | PUBLISHED_VALIDATION and known & PUBLISHED_VALIDATION:
        first = {patients[case] for case, number in numbers.items() if number in PUBLISHED_VALIDATION}
    ranked = sorted(set(patients.values()) - first, key=lambda patient: hashlib.sha256(patient.encode()).digest())
    if len(ranked) + bool(first) < 2:
        return [first]
    parts = min(FOLDS - bool(first), len(ranked))
    ends = [round(part * len(ranked) / parts) for part in range(parts + 1)]
    made = [set(ranked[start:end]) for start, end in pairwise(ends)]
    return [first, *made] if first else made


def _validated_by(dataset: ScanDataset, chosen: set[str]) -> ScanDataset:
    training = tuple(case for case in dataset.training if case.id not in chosen)
    validation = tuple(case for case in dataset.training if case.id in chosen)
    return replace(dataset, training=training, validation=validation)
