"""Crops that look like a scan of few slices."""

from collections.abc import Hashable, Mapping

from monai.transforms import MapTransform, RandomizableTransform
from torch import Tensor


class RandThinSlabd(RandomizableTransform, MapTransform):
    """Keeps the middle slices of a crop and repeats the outermost of them to both ends.

    A scan thinner than the window is padded with its edge at prediction; a network that never saw that in training
    finds little but the liver in it.

    Args:
        slices: fewest slices along the last axis that stay; their number is uniform from here to the crop's own.
        prob: of thinning a crop.
    """

    def __init__(self, slices: int, prob: float) -> None:
        MapTransform.__init__(self, ("image", "label"))
        RandomizableTransform.__init__(self, prob)
        self.slices = slices

    def __call__(self, data: Mapping[Hashable, Tensor]) -> dict[Hashable, Tensor]:
        """The sample, thinned or as it came; image and label are (C, D, H, W)."""
        self.randomize(None)
        depth = data["image"].shape[-1]
        if not self._do_transform or depth <= self.slices:
            return dict(data)
        kept = int(self.R.randint(self.slices, depth + 1))
        return {**data, **{key: repeat_edges(data[key], (depth - kept) // 2, kept) for key in self.keys}}


def repeat_edges(volume: Tensor, start: int, kept: int) -> Tensor:
    """A copy whose slices before `start` and from `start + kept` on repeat the nearest kept one.

    Args:
        volume: (C, D, H, W); slices run along W.
    """
    thin = volume.clone()
    thin[..., :start] = volume[..., start : start + 1]
    thin[..., start + kept :] = volume[..., start + kept - 1 : start + kept]
    return thin
