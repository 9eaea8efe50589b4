"""Which boxes an image is learned from, and how losses are averaged."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, distributed

from medssm.models.detection.boxes import has_area, overlaps
from medssm.models.detection.settings import Matching, Sampling
from medssm.models.detection.structures import Objects

BACKGROUND = -1
IGNORED = -2


class Sample(NamedTuple):
    """Boxes of one image to learn from, those of objects first.

    Attributes:
        boxes: (n, 4). owners: (positives,) the number of the object of each of the first boxes.
        is_object: (n,) boxes that are objects themselves.
    """

    boxes: Tensor
    owners: Tensor
    is_object: Tensor

    @property
    def positives(self) -> Tensor:
        """The boxes of objects, (positives, 4)."""
        return self.boxes[: len(self.owners)]


def matched(shared: Tensor, matching: Matching) -> Tensor:
    """The object of each box, BACKGROUND or IGNORED, (n,).

    torchvision's Matcher gives the boxes that overlap an object most to the object that they overlap most themselves,
    from any overlap on.

    Args:
        shared: (objects, n) overlaps.
    """
    if not len(shared):
        return shared.new_full(shared.shape[1:], BACKGROUND, dtype=torch.long)
    most, index = shared.max(dim=0)
    others = torch.where(most < matching.negative, BACKGROUND, IGNORED)
    matches = torch.where(most >= matching.positive, index, others)
    if matching.best_from <= 1 and shared.shape[1]:
        for number, (row, best) in enumerate(zip(shared, shared.amax(dim=1), strict=True)):
            matches = torch.where((row == best) & (best >= matching.best_from), number, matches)
    return matches


def drawn(matches: Tensor, sampling: Sampling, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Positions, one axis each, of a random sample of the boxes of objects and of the background; matches (n,).

    torchvision's sampler draws from the global generator, so that a sample would depend on the rest of the batch.
    """
    positive = _some((matches >= 0).nonzero()[:, 0], int(sampling.count * sampling.positive_share), generator)
    return positive, _some((matches == BACKGROUND).nonzero()[:, 0], sampling.count - len(positive), generator)


def _some(positions: Tensor, count: int, generator: torch.Generator) -> Tensor:
    if len(positions) <= count:
        return positions
    return positions[torch.randperm(len(positions), generator=generator)[:count].to(positions.device)]


def sampled(
    proposals: Tensor, objects: Objects, matching: Matching, sampling: Sampling, generator: torch.Generator
) -> Sample:
    """Of the proposals (n, 4) for an image, and of its objects if they take part."""
    matches = matched(overlaps(objects.boxes, proposals), matching)
    count = len(objects.boxes) if sampling.adds_objects else 0
    boxes = torch.cat([objects.boxes[:count], proposals])
    matches = torch.cat([torch.arange(count, device=matches.device), matches])
    positive, negative = drawn(matches, sampling, generator)
    chosen = torch.cat([positive, negative])
    return Sample(boxes[chosen], matches[positive], chosen < count)


def with_area(objects: Objects) -> Objects:
    """Without the objects whose box is a line or a point: nothing can be learned of them."""
    keep = has_area(objects.boxes)
    return objects._replace(
        boxes=objects.boxes[keep].float(),
        labels=objects.labels[keep],
        masks=objects.masks[keep.to(objects.masks.device)],
    )


def generators(targets: Sequence[Objects]) -> list[torch.Generator]:
    """One for each image, so that its samples do not depend on its batch."""
    return [torch.Generator().manual_seed(objects.seed) for objects in targets]


def averaged(count: float, device: torch.device) -> Tensor:
    """A scalar that sums are divided by, the mean over all processes, which hold shares of one batch; never 0.

    The mean of the processes' gradients is then that of the whole batch. MMDetection divides by each process's own.
    """
    total = torch.tensor(float(count), device=device)
    if not distributed.is_initialized():
        return total.clamp(min=1)
    distributed.all_reduce(total)
    return total.clamp(min=1) / distributed.get_world_size()
