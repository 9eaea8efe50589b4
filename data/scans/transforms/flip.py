"""Mirror images that know which organs come in pairs."""

from collections.abc import Hashable, Mapping, Sequence

import torch
from monai.transforms import MapTransform, RandomizableTransform
from torch import Tensor

from medssm.data.scans.laterality import mirrored_labels
from medssm.data.scans.transforms.settings import FlipMode

# The axis of the RAS grid along which left and right trade places.
LEFT_RIGHT = 0


class RandPairedFlipd(RandomizableTransform, MapTransform):
    """Flips image and label along one axis with a probability; may exchange the labels of paired organs.

    Args:
        axis: spatial axis of the RAS grid, 0 to 2.
        mode: "off", "as-published" (labels keep their values) or "swap" (pairs trade values when left and right do).
        pairs: label values that belong to the left and right one of a pair.
        prob: of a flip.
    """

    def __init__(self, axis: int, mode: FlipMode, pairs: Sequence[tuple[int, int]], prob: float) -> None:
        MapTransform.__init__(self, ("image", "label"))
        RandomizableTransform.__init__(self, 0.0 if mode == "off" else prob)
        self.axis = axis
        self.pairs = tuple(pairs) if mode == "swap" and axis == LEFT_RIGHT else ()

    def __call__(self, data: Mapping[Hashable, Tensor]) -> dict[Hashable, Tensor]:
        """The sample, flipped or as it came; image and label are (C, D, H, W)."""
        self.randomize(None)
        if not self._do_transform:
            return dict(data)
        flipped = {key: torch.flip(data[key], [self.axis + 1]) for key in self.keys}
        return {**data, **flipped, "label": swap_pairs(flipped["label"], self.pairs)}


def swap_pairs(label: Tensor, pairs: Sequence[tuple[int, int]]) -> Tensor:
    """The label map in which the two values of every pair have traded places.

    Args:
        label: any shape, uint8.
    """
    if not pairs:
        return label
    return torch.from_numpy(mirrored_labels(pairs, 256).astype("uint8"))[label.long()]
