"""What a training on a dataset of scans should be like, by the dataset and the memory: every choice with its reason."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from medssm.data.scans.cases import ScanDataset
from medssm.data.scans.channels import Channel, CTStandardised, ZScore
from medssm.data.scans.fingerprint import CaseFingerprint
from medssm.data.scans.laterality import find_sides
from medssm.data.scans.modality import foreign_channels
from medssm.models.info import ModelInfo
from medssm.tasks.segmentation.patches import patch_for

Triple = tuple[float, float, float]
Sides = tuple[int, int, int]

# Slices are thick where they are this many times as thick as voxels are wide (nnU-Net's 3).
_THICK, _THIN_PERCENTILE = 3.0, 10
# A window that sees less than this share of a scan knows too little of where it is: the grid is made coarser.
_SEEN = 1 / 8
# But not so coarse that fewer voxels than this are left of a label as it is in most scans that have it.
_FEWEST_VOXELS = 30
_COARSER = 1.05
# Percentiles of labelled voxels to which a CT is clipped (nnU-Net's).
_CLIPPED = (0.5, 99.5)
# Share of crops around background; where scans without any label train, more of them are of such tissue.
_BACKGROUND, _BACKGROUND_OF_NEGATIVES = 0.15, 0.33
# In shorter trainings even consistent mirror images cost more than they teach.
_LONG_ENOUGH = 60.0  # minutes


class Choice(NamedTuple):
    """A value of a recipe, by its dotted key, and why."""

    key: str
    value: Any
    reason: str


@dataclass(frozen=True)
class Plan:
    """Everything that a dataset decides of a recipe.

    Attributes:
        facts: what was found of the dataset, a line each.
    """

    choices: tuple[Choice, ...]
    facts: tuple[str, ...]

    @property
    def settings(self) -> dict[str, Any]:
        """Dotted key -> value."""
        return {choice.key: choice.value for choice in self.choices}

    @property
    def lines(self) -> list[str]:
        """What was found and what was chosen, for people."""
        return [
            *self.facts,
            *(f"{choice.key} {_shown(choice.value)}".rstrip() + f": {choice.reason}" for choice in self.choices),
        ]

    @property
    def reasons(self) -> dict[str, str]:
        """Dotted key -> why."""
        return {choice.key: choice.reason for choice in self.choices}


def plan_training(
    dataset: ScanDataset, found: Sequence[CaseFingerprint], model: ModelInfo, minutes: float | None
) -> Plan:
    """The plan of a training, all but what memory decides.

    Args:
        found: of the cases that train.
        minutes: length of the training, None for a long one.

    Source of the rules for spacing and CT: Isensee et al. 2021, nnU-Net (doi:10.1038/s41592-020-01008-z), methods.
    """
    spacing, why_spacing = _spacing(found, math.prod(model.input_size) / _SEEN)
    patch, why_patch = _patch(spacing, model)
    window, why_window = _window(found, spacing, patch, model)
    channels = _channels(dataset, found)
    choices = [
        Choice("data.preprocessing.spacing", list(spacing), why_spacing),
        Choice("data.preprocessing.channels", [c.model_dump(mode="json") for c, _ in channels], _joined(channels)),
        Choice("augmentation.crops.size", list(window), why_window),
        *_patch_argument(patch, why_patch, model),
        _background(found),
        *_flips(dataset, minutes),
    ]
    return Plan(tuple(choices), tuple(_facts(dataset, found)))


def _spacing(found: Sequence[CaseFingerprint], most_voxels: float) -> tuple[Triple, str]:
    """The median spacing; finer where slices are thick, coarser where a window would see too little."""
    every = np.array([case.spacing for case in found])
    target = np.median(every, axis=0)
    why = f"the median of {len(found)} scans"
    thick = int(target.argmax())
    if target[thick] > _THICK * np.delete(target, thick).min():
        target[thick] = np.percentile(every[:, thick], _THIN_PERCENTILE)
        why += f"; slices are thick, so along {'xyz'[thick]} the {_THIN_PERCENTILE}th percentile"
    extent = np.median([np.multiply(case.shape, case.spacing) for case in found], axis=0)
    coarse, largest = target.copy(), _largest_voxel(found)
    while math.prod(extent / coarse) > most_voxels and math.prod(coarse) * _COARSER**3 < largest:
        finest = coarse.min() * _COARSER
        coarse = np.maximum(coarse, finest)
    if (coarse > target).any():
        least = f", which leaves a label {_FEWEST_VOXELS} voxels" if math.prod(coarse) * _COARSER**6 > largest else ""
        why = f"{why} is {_by(target)} mm; coarser, so that a window sees an eighth of a scan{least}"
    x, y, z = (float(f"{side:.3g}") for side in coarse)
    return (x, y, z), why


def _largest_voxel(found: Sequence[CaseFingerprint]) -> float:
    """The largest voxel (mm^3) that leaves every label enough voxels in half of the scans that have it."""
    volumes: dict[int, list[float]] = {}
    for case in found:
        for label, voxels in case.voxels.items():
            volumes.setdefault(label, []).append(voxels * case.voxel_volume)
    return min((float(np.median(sizes)) for sizes in volumes.values()), default=math.inf) / _FEWEST_VOXELS


def _patch(spacing: Triple, model: ModelInfo) -> tuple[Sides, str]:
    """The patch of a network that can have another one, and why; else what its windows are multiples of.

    Those of a network whose strides follow its window are as a patch would be.
    """
    x, y, z = model.patch_size
    if not {"patch_size", "strides"} & model.variant().arguments.keys():
        return (x, y, z), ""
    (x, y, z), why = patch_for(spacing, model.patch_size, max(model.patch_size))
    return (x, y, z), why


def _patch_argument(patch: Sides, why: str, model: ModelInfo) -> list[Choice]:
    is_another = patch != model.patch_size and "patch_size" in model.variant().arguments
    return [Choice("model.arguments.patch_size", list(patch), why)] if is_another else []


def _window(found: Sequence[CaseFingerprint], spacing: Triple, patch: Sides, model: ModelInfo) -> tuple[Sides, str]:
    """As much of a scan as the network's own window has voxels, about as long along each axis in mm."""
    extent = np.median([np.multiply(case.shape, case.spacing) for case in found], axis=0)
    sides = [math.ceil(mm / step / side) * side for mm, step, side in zip(extent, spacing, patch, strict=True)]
    whole = list(sides)
    while math.prod(sides) > math.prod(model.input_size):
        lengths = [side * step if side > own else 0.0 for side, step, own in zip(sides, spacing, patch, strict=True)]
        longest = int(np.argmax(lengths))
        if not lengths[longest]:
            break
        sides[longest] -= patch[longest]
    lengths_mm = _by(np.multiply(sides, spacing))
    why = "the whole of a median scan" if sides == whole else f"as many voxels as {model.name} was made for"
    x, y, z = sides
    return (x, y, z), f"{why}, {lengths_mm} mm, in multiples of the patch"


def _channels(dataset: ScanDataset, found: Sequence[CaseFingerprint]) -> list[tuple[Channel, str]]:
    """What is done to the values of each channel, and why."""
    named = dataset.channel_names
    count = len(found[0].foreground)
    chosen = []
    for place in range(count):
        name = named[place] if named else f"channel {place + 1}" if count > 1 else "image"
        strange = next((case.strange[place] for case in found if case.strange[place]), "")
        is_ct = not foreign_channels([name]) if named else not strange
        chosen.append(_normalised(name, is_ct, bool(named), strange, _foreground(found, place)))
    return chosen


def _normalised(name: str, is_ct: bool, is_named: bool, strange: str, values: np.ndarray) -> tuple[Channel, str]:
    if not is_ct or strange or len(values) < 2 or not values.std():
        why = "no CT by its name" if is_named and not is_ct else strange or "no labelled voxel tells of its values"
        return Channel(name=name, normalisation=ZScore()), f"{name}: {why}, so each scan by its own body"
    low, high = np.percentile(values, _CLIPPED).tolist()
    low, high = float(f"{low:.4g}"), float(f"{max(high, low + 1):.4g}")
    inside = np.clip(values, low, high)
    scaled = CTStandardised(
        low=low, high=high, mean=float(f"{inside.mean():.4g}"), sd=float(f"{max(inside.std(), 1e-3):.4g}")
    )
    told = "a CT by its name" if is_named else "Hounsfield units, as its values have air or fat"
    return Channel(name=name, normalisation=scaled), f"{name}: {told}; percentiles and moments of labelled voxels"


def _foreground(found: Sequence[CaseFingerprint], place: int) -> np.ndarray:
    return np.array([value for case in found for value in case.foreground[place]])


def _joined(channels: Sequence[tuple[Channel, str]]) -> str:
    return "; ".join(why for _, why in channels)


def _background(found: Sequence[CaseFingerprint]) -> Choice:
    key = "augmentation.crops.background"
    if empty := sum(not case.voxels for case in found):
        return Choice(
            key, _BACKGROUND_OF_NEGATIVES, f"{empty} of {len(found)} scans have no label: what is none is learnt"
        )
    return Choice(key, _BACKGROUND, "so that what looks like an organ and is none is learnt")


def _flips(dataset: ScanDataset, minutes: float | None) -> list[Choice]:
    """Mirror images, where the training is long enough and the names say which labels trade places."""
    sides = find_sides(dataset.label_names)
    if minutes is not None and minutes < _LONG_ENOUGH:
        modes, why = ("off", "off", "off"), f"in {minutes:g} minutes mirror images cost more than they teach"
    elif sides.alone:
        modes, why = ("off", "as-published", "as-published"), f"{sides.alone[0]!r} has no partner to exchange it with"
    else:
        pairs = len(sides.pairs)
        what = (
            f"{pairs} pairs of labels trade places by their names" if pairs else "no label is of one side by its name"
        )
        modes, why = ("swap", "as-published", "as-published"), what
    return [Choice(f"augmentation.flips.{axis}", mode, why) for axis, mode in zip("xyz", modes, strict=True)]


def _facts(dataset: ScanDataset, found: Sequence[CaseFingerprint]) -> list[str]:
    """The fingerprint of a dataset, a line each."""
    spacing, shape = (np.array([getattr(case, name) for case in found]) for name in ("spacing", "shape"))
    lines = [
        f"{len(dataset.training)} scans train and {len(dataset.validation)} validate",
        f"spacing {_range(spacing)} mm, median {_by(np.median(spacing, axis=0))}",
        f"shape {_range(shape)} voxels, median {_by(np.median(shape, axis=0))}",
        f"channels: {', '.join(dataset.channel_names) or 'not named'}",
    ]
    for place, values in enumerate(_foreground(found, place) for place in range(len(found[0].foreground))):
        if len(values):
            name = dataset.channel_names[place] if dataset.channel_names else f"channel {place + 1}"
            low, middle, high = np.percentile(values, (0.5, 50, 99.5))
            lines.append(f"values of labelled voxels in {name}: {low:.4g} to {high:.4g}, median {middle:.4g}")
    for label, name in dataset.label_names.items():
        sizes = [case.voxels[label] * case.voxel_volume / 1000 for case in found if label in case.voxels]
        amount = f"{min(sizes):.3g} to {max(sizes):.3g} ml" if sizes else "nowhere"
        lines.append(f"{name}: {amount}, in {len(sizes)} of {len(found)} scans")
    return lines


def _range(values: np.ndarray) -> str:
    low, high = values.min(axis=0), values.max(axis=0)
    return _by(low) if (low == high).all() else f"{_by(low)} to {_by(high)}"


def _shown(value: Any) -> str:
    """A value in a line; what has sections of its own is told by its reason alone."""
    if isinstance(value, list):
        return _by(value) if all(isinstance(item, int | float) for item in value) else ""
    return str(value)


def _by(values: Any) -> str:
    return " x ".join(f"{float(value):.3g}" for value in values)
