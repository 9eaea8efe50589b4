"""Class scores of a photograph at its own size, a stripe at a time: never all of them at once.

The network sees the photograph at another size, whole or in windows that slide over it; its scores are stretched to the
photograph's size as they become complete. What is summed where is MMSegmentation's "whole" and "slide".
"""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from medssm.errors import UsageError
from medssm.tasks.windows import Windows, stream_scores

Size = tuple[int, int]
Network = Callable[[Tensor], Tensor]

ROWS, COLUMNS = 1, 2  # axes of scores (K, H, W)
_BYTES = 4
# Of the sums of overlapping windows; a photograph for which they would be more is gone through in several bands, in
# which the windows at their edges are run twice: a third more for 4096 x 4096 pixels and 150 classes.
RING_BYTES = 512 * 2**20
_STRIPE_BYTES = 32 * 2**20


class Stripe(NamedTuple):
    """The scores (K, rows, columns) of a part of the photograph."""

    rows: slice
    columns: slice
    scores: Tensor


@dataclass(frozen=True)
class Sliding:
    """Windows of a size (h, w), and the steps between them; on the right and lower edges they are moved back inside."""

    window: Size
    step: Size

    def on(self, size: Size, band: slice | None = None) -> Windows:
        """The windows on an image (h, w), as on a volume of one plane; none is larger than the image.

        Raises: UsageError for steps that are longer than the window, or that are not the same share of it both ways.
        """
        shares = [step / side for step, side in zip(self.step, self.window, strict=True)]
        if not 0 < min(shares) <= max(shares) <= 1 or abs(shares[0] - shares[1]) > 0.01:
            raise UsageError(
                f"windows of {self.window} in steps of {self.step} pixels: a step must be at least 1 pixel, no longer "
                "than the window, and the same share of it both ways"
            )
        height, width = (min(side, own) for side, own in zip(self.window, size, strict=True))
        # Half a pixel more, so that rounding down gives the step itself.
        overlap = max(0.0, 1 - (self.step[0] + 0.5) / self.window[0])
        return Windows((1, *size), (1, height, width), overlap, band)


def whole_stripes(image: Tensor, network: Network, size: Size) -> Iterator[Stripe]:
    """Stripes of the scores that a network gives for the whole image at once.

    Args:
        image: (3, h, w) float32, on the network's device.
        network: (1, 3, h, w) to scores (1, K, h, w).
        size: (H, W) that the scores are stretched to.
    """
    scores = network(image[None])[0].float()
    height, width = scores.shape[1:]
    slab = (height, scores)
    everything = slice(0, width), slice(0, size[1])
    yield from _stretched([slab], ROWS, Stretch(height, size[0]), Stretch(width, size[1]), *everything)


def sliding_stripes(
    planes: Callable[[slice, slice], Tensor],
    image_size: Size,
    network: Network,
    sliding: Sliding,
    size: Size,
    classes: int,
    ring_bytes: int = RING_BYTES,
    device: torch.device | str = "cpu",
) -> Iterator[Stripe]:
    """Stripes of the mean scores of all windows over a pixel.

    Args:
        planes: rows and columns to that part of the image, (3, rows, columns) float32.
        image_size: (h, w).
        network: (1, 3, h, w) windows to scores (1, K, h, w).
        size: (H, W) that the scores are stretched to.
        classes: their number.
        ring_bytes: what the sums may take.

    Raises: UsageError for impossible windows; DataError if the network does not keep the size of its input.
    """
    windows = sliding.on(image_size)
    if len(windows) == 1:
        image = planes(*(slice(0, side) for side in image_size)).to(device)
        yield from whole_stripes(image, network, size)
        return
    axis = COLUMNS if windows.axis == COLUMNS else ROWS
    across = ROWS + COLUMNS - axis
    along_stretch, across_stretch = (Stretch(image_size[a - 1], size[a - 1]) for a in (axis, across))
    need = classes * windows.size[axis] * image_size[across - 1] * _BYTES
    for out in _parts(size[across - 1], math.ceil(need / ring_bytes)):
        band = across_stretch.needs(out)
        is_all = band == slice(0, image_size[across - 1])
        stream = stream_scores(
            lambda axis, start, stop: _slab(planes, axis, slice(start, stop), image_size),
            lambda batch: network(batch[:, :, 0]).unsqueeze(2),
            sliding.on(image_size, None if is_all else band),
            blending="constant",
            device=device,
        )
        slabs = ((slab.stop, slab.scores.div_(slab.weights)[:, 0]) for slab in stream)
        yield from _stretched(slabs, axis, along_stretch, across_stretch, band, out)


def _slab(planes: Callable[[slice, slice], Tensor], axis: int, part: slice, size: Size) -> Tensor:
    """A part of the image along an axis, as a volume of one plane (3, 1, rows, columns)."""
    rows, columns = (slice(0, side) for side in size)
    return (planes(part, columns) if axis == ROWS else planes(rows, part))[:, None]


@dataclass(frozen=True)
class Stretch:
    """Linear interpolation of `length` pixels to `size`, pixels being areas (torch's `align_corners=False`)."""

    length: int
    size: int

    def sources(self, out: slice) -> tuple[Tensor, Tensor, Tensor]:
        """The two pixels that each output lies between, and the share of the second one, (outputs,) each."""
        places = (torch.arange(out.start, out.stop, dtype=torch.float64) + 0.5) * (self.length / self.size) - 0.5
        lower = places.clamp_(min=0).long().clamp_(max=self.length - 1)
        return lower, (lower + 1).clamp(max=self.length - 1), (places - lower).clamp_(max=1).float()

    def needs(self, out: slice) -> slice:
        """The pixels that these outputs are made of."""
        if self.length == self.size:
            return out
        lower, upper, _ = self.sources(out)
        return slice(int(lower[0]), int(upper[-1]) + 1)

    def complete(self, known: int) -> int:
        """How many outputs are made of none but the first `known` pixels."""
        if self.length == self.size or known == self.length:
            return round(known * self.size / self.length)
        return int((self.sources(slice(0, self.size))[1] < known).sum())

    def apply(self, scores: Tensor, axis: int, first: int, out: slice) -> Tensor:
        """The outputs along an axis of scores of any shape, of which the first pixel there is number `first`."""
        if self.length == self.size:
            return scores.narrow(axis, out.start - first, out.stop - out.start)
        if axis == scores.ndim - 1 and out == slice(0, self.size) and scores.shape[axis] == self.length:
            # The same, 20 times as fast as picking values of a row one by one.
            return F.interpolate(scores, self.size, mode="linear", align_corners=False)
        lower, upper, share = (part.to(scores.device) for part in self.sources(out))
        shape = [1] * scores.ndim
        shape[axis] = -1
        return torch.lerp(
            scores.index_select(axis, lower - first), scores.index_select(axis, upper - first), share.view(shape)
        )


def _stretched(
    slabs: Iterable[tuple[int, Tensor]], axis: int, along: Stretch, across: Stretch, band: slice, out: slice
) -> Iterator[Stripe]:
    """Stripes of scores that come in order along an axis.

    Args:
        slabs: where each ends along the axis, and its scores (K, h, w), valid until the next one is asked for.
        band, out: the pixels of the slabs across the axis, and the outputs that are made of them.
    """
    done = 0
    last: Tensor | None = None  # plane of the slab before
    for stop, scores in slabs:
        start = stop - scores.shape[axis]
        complete = along.complete(stop)
        step = max(1, _STRIPE_BYTES // (len(scores) * (out.stop - out.start) * _BYTES))
        while done < complete:
            part = slice(done, min(done + step, complete))
            needed = along.needs(part)
            if last is not None and needed.start < start:  # the few outputs between two slabs
                held = torch.cat([last, scores.narrow(axis, 0, 1)], axis)
                part = slice(done, min(along.complete(start + 1), part.stop))
                needed = slice(start - 1, min(along.needs(part).stop, start + 1))
                picked = held.narrow(axis, 0, needed.stop - needed.start)
            else:
                picked = scores.narrow(axis, needed.start - start, needed.stop - needed.start)
            stretched = across.apply(picked, ROWS + COLUMNS - axis, band.start, out)
            stretched = along.apply(stretched, axis, needed.start, part)
            yield Stripe(part, out, stretched) if axis == ROWS else Stripe(out, part, stretched)
            done = part.stop
        last = scores.narrow(axis, scores.shape[axis] - 1, 1).clone()


def _parts(length: int, count: int) -> list[slice]:
    """So many parts of about the same length, or fewer where that would leave one empty."""
    edges = [length * place // min(count, length) for place in range(min(count, length) + 1)]
    return [slice(*pair) for pair in pairwise(edges)]
