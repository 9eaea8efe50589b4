"""From score slabs on the network's grid to labels on the scan's own grid, as the slabs pass.

Scores are interpolated, not labels: on the phantom 0.858 instead of 0.837 of mean Dice. Axes whose spacing the network
shares are left as they are, so that at equal spacing the labels are those of the network's grid to the voxel.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from medssm.data.scans.network_grid import to_ras
from medssm.data.scans.network_slabs import NetworkSlabs
from medssm.data.scans.resampling import Neighbours, interpolate, neighbours
from medssm.tasks.windows import ScoreSlab, Windows, largest_class

# Scores that are interpolated at a time: 32 MiB each for the lower neighbour, the upper one and the result.
SCORES_AT_ONCE = 1 << 23
Parts = tuple[slice, slice, slice]


class Restoration:
    """Labels on the scan's grid, filled while slabs of scores pass; what lies outside the crop stays background.

    Attributes:
        labels: (X, Y, Z) uint8 in the scan's own axis order.
        confidence: per class, the sum over its voxels of the probability of the label; None if not asked for.
        probabilities: (K, X, Y, Z) array to fill, perhaps mapped to a file; None if not asked for.
    """

    def __init__(
        self,
        slabs: NetworkSlabs,
        scan_affine: np.ndarray,
        labels: np.ndarray,
        *,
        classes: int,
        with_confidence: bool = False,
        probabilities: np.ndarray | None = None,
    ) -> None:
        self.slabs = slabs
        self.labels, self.probabilities = labels, probabilities
        self.confidence = np.zeros(classes) if with_confidence else None
        # Views with the axes of the network's grid: what is written to them lands in the scan's order.
        self._labels = to_ras(labels, scan_affine)[0]
        self._probabilities = None
        if probabilities is not None:
            probabilities[0] = 1.0  # outside the crop all is background
            self._probabilities = [to_ras(part, scan_affine)[0] for part in probabilities]

    def consume(self, stream: Iterator[ScoreSlab], windows: Windows) -> None:
        """Takes the slabs of one stream, of which only the last plane is kept until the next one comes."""
        axis = windows.axis
        covered = [_covered(self.slabs, a, windows.kept[a]) for a in range(3)]
        around = [
            neighbours(torch.from_numpy(self.slabs.positions(a)[part] - kept.start), kept.stop - kept.start)
            for a, (part, kept) in enumerate(zip(covered, windows.kept, strict=True))
        ]
        last_plane: Tensor | None = None
        done = 0
        for slab in stream:
            ready = int(torch.searchsorted(around[axis].above, slab.stop))
            for start, stop in self._pieces(done, ready, slab, around, axis):
                scores = _between_planes(slab, last_plane, _part(around[axis], start, stop), axis)
                # Planes first: rows are then copied whole, which is several times faster for the few planes at a time.
                scores = scores.movedim(axis + 1, 1).contiguous()
                for place, other in enumerate((a for a in range(3) if a != axis), start=2):
                    scores = interpolate(scores, place, around[other].to(scores.device))
                scores = scores.movedim(1, axis + 1)
                first = covered[axis].start
                d, h, w = (slice(first + start, first + stop) if a == axis else covered[a] for a in range(3))
                self._write((d, h, w), scores)
            done = ready
            last_plane = _normalised(slab, axis, slab.stop - 1, slab.stop)

    def _pieces(
        self, done: int, ready: int, slab: ScoreSlab, around: list[Neighbours], axis: int
    ) -> Iterator[tuple[int, int]]:
        """Runs of the scan's planes whose interpolated scores do not fill more than the memory set aside."""
        plane = len(slab.scores) * int(np.prod([len(part.below) for a, part in enumerate(around) if a != axis]))
        step = max(SCORES_AT_ONCE // max(plane, 1), 1)
        for start in range(done, ready if plane else done, step):
            yield start, min(start + step, ready)

    def _write(self, place: Parts, scores: Tensor) -> None:
        labels, best = largest_class(scores)
        self._labels[place] = labels.cpu().numpy()
        if self.confidence is None and self._probabilities is None:
            return
        share = scores.sub_(best).exp_()
        share /= share.sum(0)
        if self.confidence is not None:
            sums = torch.bincount(labels.flatten(), share.amax(0).flatten().double(), minlength=len(scores))
            self.confidence += sums.cpu().numpy()
        if self._probabilities is not None:
            for view, values in zip(self._probabilities, share.cpu().numpy(), strict=True):
                view[place] = values


def _covered(slabs: NetworkSlabs, axis: int, kept: slice) -> slice:
    """The scan's voxels that this band writes: those in the crop whose position lies in start <= p < stop."""
    whole = slabs.covered(axis)
    positions = slabs.positions(axis)[whole]
    low = -np.inf if kept.start == 0 else kept.start
    high = np.inf if kept.stop == slabs.shape[axis] else kept.stop - 1
    start, stop = np.searchsorted(positions, [low, high])
    return slice(whole.start + int(start), whole.start + int(stop))


def _part(around: Neighbours, start: int, stop: int) -> Neighbours:
    return Neighbours(around.below[start:stop], around.above[start:stop], around.weight[start:stop])


def _normalised(slab: ScoreSlab, axis: int, start: int, stop: int) -> Tensor:
    """Mean scores of planes of the slab, (K, D, H, W)."""
    scores = slab.scores.narrow(axis + 1, start - slab.start, stop - start)
    return scores / slab.weights.narrow(axis, start - slab.start, stop - start)


def _between_planes(slab: ScoreSlab, last_plane: Tensor | None, wanted: Neighbours, axis: int) -> Tensor:
    """Mean scores at positions along the stream's axis, between planes of this slab and the last one before it."""
    span = wanted.span
    scores = _normalised(slab, axis, max(span.start, slab.start), span.stop)
    if span.start < slab.start:
        assert last_plane is not None
        scores = torch.cat([last_plane, scores], dim=axis + 1)
    return interpolate(scores, axis + 1, wanted.in_span.to(scores.device))
