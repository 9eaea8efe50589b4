"""Several networks for the same scans as one: the mean of their probabilities."""

import re
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from medssm.checkpoints import WeightsMetadata
from medssm.errors import UsageError
from medssm.tasks.weights import BEST

# What must be the same in the weights of all, and how it is called.
_ALIKE = {
    "class_names": "classes",
    "num_classes": "classes",
    "preprocessing": "channels, grid or normalisation",
    "input_size": "window",
}


class MeanOfNetworks(nn.Module):
    """The logarithm of the mean of the networks' probabilities, which are scores of theirs.

    One network runs after the other, so that of all but one nothing but the probabilities of a window is held.
    """

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, windows: Tensor) -> Tensor:
        """Scores (B, K, D, H, W) float32 of windows (B, C, D, H, W)."""
        first, *others = self.networks
        total = first(windows).float().softmax(dim=1)
        for network in others:
            total = total + network(windows).float().softmax(dim=1)
        mean: Tensor = total / len(self.networks)
        return mean.clamp_min(torch.finfo(mean.dtype).tiny).log()


def members_of(run: Path, folds: Sequence[int] = ()) -> list[Path]:
    """The run folders that a folder stands for: itself, or those of its folds that have weights.

    Args:
        folds: of which to take only these.

    Raises: UsageError if it has no such fold.
    """
    found = {fold_number(path.parent): path.parent for path in run.glob(f"fold*/{BEST}")}
    found.pop(-1, None)
    if not found or (run / BEST).is_file():
        if folds:
            raise UsageError(f"{run}: holds no folds, so there is no fold {folds[0]}; leave --fold out")
        return [run]
    if missing := [fold for fold in folds if fold not in found]:
        there = ", ".join(str(fold) for fold in sorted(found))
        raise UsageError(f"{run}: has no trained fold {missing[0]}; there are {there}")
    return [found[fold] for fold in sorted(found) if not folds or fold in folds]


def fold_number(run: Path) -> int:
    """The number of the fold that a run folder is named for; -1 of another name.

    >>> fold_number(Path("runs/cv/fold3")), fold_number(Path("runs/cv"))
    (3, -1)
    """
    match = re.fullmatch(r"fold(\d{1,4})", run.name)
    return int(match[1]) if match else -1


def refuse_unlike(members: Sequence[tuple[Path, WeightsMetadata]]) -> None:
    """Raises UsageError if the networks are not for the same scans, windows and classes."""
    (first, like), *others = members
    for path, metadata in others:
        for name, what in _ALIKE.items():
            if getattr(metadata, name) != getattr(like, name):
                raise UsageError(
                    f"{path}: has other {what} than {first}, so that their mean means nothing; give one of them"
                )


def metadata_of_all(members: Sequence[WeightsMetadata]) -> WeightsMetadata:
    """What the weights of all say: mirror images that every network has seen, scans that any has, and the rules of
    post-processing that all have learnt alike."""
    first = members[0]
    flips = {axis: mode for axis, mode in first.flips.items() if all(m.flips.get(axis) == mode for m in members)}
    if any(member.pairs != first.pairs for member in members):
        flips = {}
    seen = tuple(dict.fromkeys(scan for member in members for scan in member.trained_on))
    learnt = [member.postprocessing or {} for member in members]
    rules = {label: of for label, of in learnt[0].items() if all(other.get(label) == of for other in learnt)}
    changes = {"flips": flips, "trained_on": seen, "fold": None, "postprocessing": rules}
    return first.model_copy(update=changes)
