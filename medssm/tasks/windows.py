"""Sliding windows over a volume whose class scores are held only for the planes that windows still touch.

Windows are visited in order along one axis. A ring of planes, as long as a window, sums their scores; a plane that no
later window reaches is handed out and its place in the ring is used again. What is summed where, and with what
weights, is MONAI's `sliding_window_inference`.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from medssm.errors import DataError, UsageError

Shape = tuple[int, int, int]
Blending = Literal["gaussian", "constant"]
Padding = Literal["edge", "constant"]
# planes(axis, start, stop) gives that part of the volume, (C, D, H, W) with stop - start planes along the axis
Planes = Callable[[int, int, int], Tensor]
Network = Callable[[Tensor], Tensor]


class ScoreSlab(NamedTuple):
    """Finished planes start ... stop along the axis of the stream; views of the ring, valid until the next slab.

    Attributes:
        start, stop: planes of the volume.
        scores: (K, D, H, W), the weighted sum of the windows' scores; across the axis, all that is kept.
        weights: (D, H, W), the sum of the weights.
    """

    start: int
    stop: int
    scores: Tensor
    weights: Tensor


@dataclass(frozen=True)
class Windows:
    """Where the windows lie on a grid of voxels, and for which part of it their scores are kept.

    Attributes:
        shape: of the volume (D, H, W).
        size: of a window (D, H, W).
        overlap: the part of a window that its neighbour repeats, 0 <= overlap < 1.
        band: the part along `band_axis` whose scores are kept; None for all of it. A band needs less memory and gives
            the same scores; windows that reach into two bands are run for both.
    """

    shape: Shape
    size: Shape
    overlap: float = 0.5
    band: slice | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.overlap < 1:
            raise UsageError(f"overlap {self.overlap} is outside 0 <= overlap < 1; give 0.5 for half a window")
        if min(self.shape) < 1 or min(self.size) < 1:
            raise UsageError(f"a volume of {self.shape} and a window of {self.size} voxels: each side needs one voxel")

    @property
    def axis(self) -> int:
        """The axis to stream along, which makes the ring smallest: the longest one, for cubic windows."""
        shares = [min(n, size) / n for n, size in zip(self.shape, self.size, strict=True)]
        return shares.index(min(shares))

    @property
    def band_axis(self) -> int:
        """The longest of the other two axes."""
        return max((axis for axis in range(3) if axis != self.axis), key=lambda axis: self.shape[axis])

    @property
    def kept(self) -> tuple[slice, slice, slice]:
        """The voxels of the volume whose scores are kept."""
        d, h, w = (slice(0, n) for n in self.shape)
        if self.band is None:
            return d, h, w
        d, h, w = (self.band if axis == self.band_axis else part for axis, part in enumerate((d, h, w)))
        return d, h, w

    @property
    def starts(self) -> tuple[list[int], list[int], list[int]]:
        """First voxel of the windows along each axis; negative where the volume is padded to the window."""
        sides = zip(self.shape, self.size, self.kept, strict=True)
        d, h, w = (
            [start for start in _axis_starts(n, size, self.overlap) if start < part.stop and start + size > part.start]
            for n, size, part in sides
        )
        return d, h, w

    @property
    def ring_shape(self) -> Shape:
        """Size (D, H, W) of the ring: what is kept, and along `axis` no more than a window's length."""
        sizes = [part.stop - part.start for part in self.kept]
        sizes[self.axis] = min(sizes[self.axis], self.size[self.axis])
        return sizes[0], sizes[1], sizes[2]

    def __len__(self) -> int:
        return math.prod(len(starts) for starts in self.starts)


def _axis_starts(length: int, size: int, overlap: float) -> list[int]:
    """MONAI's positions: steps of (1 - overlap) windows, the last one moved back to end with the volume."""
    if length <= size:
        return [-((size - length) // 2)]
    step = max(int(size * (1 - overlap)), 1)
    count = math.ceil((length - size) / step) + 1
    return [min(i * step, length - size) for i in range(count)]


def importance(size: Shape, blending: Blending) -> Tensor:
    """Weight of each voxel of a window, (D, H, W) float32, by its distance from the window's centre.

    Gaussian: sigma an eighth of each side, nowhere below 1e-3 and nowhere zero. Source: MONAI, after nnU-Net.
    """
    if blending == "constant":
        return torch.ones(size)
    curves = [torch.exp((torch.arange(n) - (n - 1) / 2) ** 2 / (-2 * (0.125 * n) ** 2)) for n in size]
    weights = curves[0][:, None, None] * curves[1][:, None] * curves[2]
    return weights.clamp_(min=max(weights.min().item(), 1e-3))


def stream_scores(
    planes: Planes,
    network: Network,
    windows: Windows,
    *,
    blending: Blending = "gaussian",
    padding: Padding = "edge",
    batch: int = 1,
    device: torch.device | str = "cpu",
    advance: Callable[[int], None] | None = None,
) -> Iterator[ScoreSlab]:
    """Slabs of summed scores in order along `windows.axis`, while the windows run.

    Args:
        planes: gives parts of the volume; asked in order along `windows.axis`.
        network: (B, C, D, H, W) windows to (B, K, D, H, W) scores.
        padding: what a volume thinner than a window is filled with: its edge repeated, or zeros as in MONAI.
        batch: windows a call of the network.
        device: where the network is; the ring lies there too.
        advance: called with the number of windows that were done.

    Raises: DataError if the network does not give scores of the window's size.
    """
    axis = windows.axis
    ring: _Ring | None = None
    rows = windows.starts[axis]
    for row, start in enumerate(rows):
        slab = _padded_slab(planes, windows, start, padding).to(device)
        for corners in _batches(_row_corners(windows, start), batch):
            scores = network(torch.stack([_cut(slab, windows, corner) for corner in corners]))
            _check_scores(scores, windows.size)
            ring = ring or _Ring(windows, scores.shape[1], importance(windows.size, blending).to(scores.device))
            for corner, window_scores in zip(corners, scores, strict=True):
                ring.add(corner, window_scores)
            if advance:
                advance(len(corners))
        assert ring is not None  # every row holds a window
        following = rows[row + 1] if row + 1 < len(rows) else windows.shape[axis]
        yield from ring.take(max(start, 0), following)


def _row_corners(windows: Windows, start: int) -> list[Shape]:
    starts = [[start] if axis == windows.axis else s for axis, s in enumerate(windows.starts)]
    return [(d, h, w) for d, h, w in product(*starts)]


def _batches(corners: list[Shape], batch: int) -> Iterator[list[Shape]]:
    for i in range(0, len(corners), batch):
        yield corners[i : i + batch]


def _padded_slab(planes: Planes, windows: Windows, start: int, padding: Padding) -> Tensor:
    """The planes under one row of windows, every side at least a window long."""
    axis = windows.axis
    slab = planes(axis, max(start, 0), min(start + windows.size[axis], windows.shape[axis]))
    pads: list[int] = []
    for length, size in zip(reversed(windows.shape), reversed(windows.size), strict=True):
        short = max(size - length, 0)
        pads += [short // 2, short - short // 2]
    if not any(pads):
        return slab
    return F.pad(slab[None], pads, mode="replicate" if padding == "edge" else "constant")[0]


def _cut(slab: Tensor, windows: Windows, corner: Shape) -> Tensor:
    """One window of a padded slab, (C, D, H, W)."""
    for axis, (start, size) in enumerate(zip(corner, windows.size, strict=True)):
        slab = slab.narrow(axis + 1, 0 if axis == windows.axis else max(start, 0), size)
    return slab


def _check_scores(scores: Tensor, size: Shape) -> None:
    if tuple(scores.shape[2:]) != size:
        raise DataError(
            f"the network gives scores of {tuple(scores.shape[2:])} voxels for a window of {size}; "
            "prediction needs a network that keeps the size of its input"
        )


class _Ring:
    """Sums of scores and weights for as many planes as a window is long; plane z lies at z modulo that length."""

    def __init__(self, windows: Windows, classes: int, weights: Tensor) -> None:
        self.windows, self.axis, self.window_weights = windows, windows.axis, weights
        shape = windows.ring_shape
        self.length = shape[self.axis]
        self.scores = torch.zeros(classes, *shape, device=weights.device)
        self.weights = torch.zeros(shape, device=weights.device)

    def add(self, corner: Shape, scores: Tensor) -> None:
        """Adds a window's scores (K, D, H, W) at its corner, but for what lies in the padding or outside the band."""
        weights, first = self.window_weights, []
        for axis, (start, kept) in enumerate(zip(corner, self.windows.kept, strict=True)):
            low = max(start, kept.start)
            inside = min(start + self.windows.size[axis], kept.stop) - low
            scores = scores.narrow(axis + 1, low - start, inside)
            weights = weights.narrow(axis, low - start, inside)
            first.append(low - kept.start)
        for slot, offset, count in self._runs(first[self.axis], scores.shape[self.axis + 1]):
            part = scores.narrow(self.axis + 1, offset, count)
            part_weights = weights.narrow(self.axis, offset, count)
            to_scores, to_weights = self._place(first, slot, part.shape[1:])
            to_scores.addcmul_(part, part_weights)
            to_weights.add_(part_weights)

    def take(self, start: int, stop: int) -> Iterator[ScoreSlab]:
        """Hands out the planes start ... stop, then clears their places."""
        for slot, offset, count in self._runs(start, stop - start):
            scores = self.scores.narrow(self.axis + 1, slot, count)
            weights = self.weights.narrow(self.axis, slot, count)
            yield ScoreSlab(start + offset, start + offset + count, scores, weights)
            scores.zero_()
            weights.zero_()

    def _runs(self, start: int, count: int) -> Iterator[tuple[int, int, int]]:
        """(place in the ring, offset, planes) of the at most two runs that hold the planes from start."""
        slot = start % self.length
        first = min(count, self.length - slot)
        yield slot, 0, first
        if count > first:
            yield 0, first, count - first

    def _place(self, first: list[int], slot: int, shape: torch.Size) -> tuple[Tensor, Tensor]:
        scores, weights = self.scores, self.weights
        for axis, size in enumerate(shape):
            start = slot if axis == self.axis else first[axis]
            scores, weights = scores.narrow(axis + 1, start, size), weights.narrow(axis, start, size)
        return scores, weights


def largest_class(scores: Tensor) -> tuple[Tensor, Tensor]:
    """Index (uint8) and value of the largest of scores (K, ...) over the first axis, (...) each, first of equals.

    A loop over classes, which is several times faster than torch.argmax over an outer axis.

    Raises: DataError if a score is not a number.
    """
    best = scores[0].clone()
    labels = torch.zeros(best.shape, dtype=torch.uint8, device=scores.device)
    for index in range(1, len(scores)):
        labels.masked_fill_(scores[index] > best, index)
        torch.maximum(best, scores[index], out=best)
    if not torch.isfinite(best.sum()):
        raise DataError("the network gave scores that are not finite; its weights or the scan's values are damaged")
    return labels, best


@torch.inference_mode()
def segment_volume(
    image: Tensor,
    network: Network,
    window: Shape,
    overlap: float = 0.5,
    *,
    blending: Blending = "gaussian",
    padding: Padding = "edge",
    batch: int = 1,
    device: torch.device | str | None = None,
) -> Tensor:
    """Labels (D, H, W), uint8 on the image's device, of a preprocessed volume on the network's own grid.

    Args:
        image: (C, D, H, W) float.
        network: (B, C, D, H, W) windows to (B, K, D, H, W) scores; put it in evaluation mode before.
        window: (D, H, W).
        blending, padding: "constant" twice is the published protocol.
        device: where the network is; the image's device if None.
    """
    d, h, w = image.shape[1:]
    windows = Windows((d, h, w), window, overlap)
    labels = torch.empty((d, h, w), dtype=torch.uint8, device=image.device)

    def planes(axis: int, start: int, stop: int) -> Tensor:
        return image.narrow(axis + 1, start, stop - start)

    stream = stream_scores(
        planes,
        network,
        windows,
        blending=blending,
        padding=padding,
        batch=batch,
        device=device or image.device,
    )
    for slab in stream:
        labels.narrow(windows.axis, slab.start, slab.stop - slab.start).copy_(largest_class(slab.scores)[0])
    return labels
