"""Which cases train and which validate where no list says so."""

import hashlib
import re
from dataclasses import replace

from medssm.data.scans.cases import ScanCase, ScanDataset

# The split of the published work (TransUNet, UNETR, Mamba-ND): 24 cases train, 6 validate.
PUBLISHED_TRAINING = frozenset((*range(1, 11), *range(21, 35)))
PUBLISHED_VALIDATION = frozenset(range(35, 41))

# The share of cases that validate where nobody has said which.
_VALIDATION_SHARE = 0.2


def btcv_number(case: ScanCase) -> int | None:
    """The number of a case that is called as in BTCV, img0001; None of another name."""
    match = re.fullmatch(r"img(\d{4})", case.id)
    return int(match[1]) if match else None


def with_default_split(dataset: ScanDataset) -> ScanDataset:
    """The dataset with its training cases split: as published for BTCV's names, else by a hash of the names.

    The hash keeps every other case where it is when one is added. A single case only trains.
    """
    numbers = [btcv_number(case) or 0 for case in dataset.training]
    if numbers and set(numbers) <= PUBLISHED_TRAINING | PUBLISHED_VALIDATION and set(numbers) & PUBLISHED_VALIDATION:
        is_validation = [number in PUBLISHED_VALIDATION for number in numbers]
    else:
        ranked = sorted(dataset.training, key=lambda case: hashlib.sha256(case.id.encode()).digest())
        count = max(1, round(len(ranked) * _VALIDATION_SHARE)) if len(ranked) > 1 else 0
        chosen = {case.id for case in ranked[:count]}
        is_validation = [case.id in chosen for case in dataset.training]
    parts: tuple[list[ScanCase], list[ScanCase]] = ([], [])
    for case, validates in zip(dataset.training, is_validation, strict=True):
        parts[validates].append(case)
    return replace(dataset, training=tuple(parts[0]), validation=tuple(parts[1]))
