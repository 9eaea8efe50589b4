"""Test-time augmentation: the mean of the scores over mirror images, each turned back."""

from collections.abc import Mapping, Sequence
from itertools import chain, combinations

import torch
from torch import Tensor

from medssm.data.scans.laterality import mirrored_labels
from medssm.errors import UsageError
from medssm.tasks.windows import Network

AXES = {"x": 0, "y": 1, "z": 2}


class FlipMean:
    """A network whose scores are averaged over mirror images of each window.

    Only mirror images of a kind that the network has seen in training mean anything to it: left and right organs
    differ by their place alone. Where training exchanged the labels of paired organs, their scores are exchanged back.

    Args:
        network: windows (B, C, D, H, W) to scores (B, K, D, H, W).
        flips: axis (x, y, z of the RAS grid) -> "swap" or "as-published" (without exchange); other axes stay.
        pairs: label values that training exchanged under "swap".
        classes: K.

    Raises: UsageError if there is no axis to flip.
    """

    def __init__(
        self, network: Network, flips: Mapping[str, str], pairs: Sequence[tuple[int, int]], classes: int
    ) -> None:
        used = [axis for axis in AXES if flips.get(axis, "off") != "off"]
        if not used:
            raise UsageError(
                "the weights were trained without mirror images, which would only confuse them; leave --tta out"
            )
        self.network = network
        self.subsets = list(chain.from_iterable(combinations(used, n) for n in range(len(used) + 1)))
        self.exchange = torch.from_numpy(mirrored_labels(pairs, classes)) if flips.get("x") == "swap" else None

    def __call__(self, windows: Tensor) -> Tensor:
        total: Tensor | None = None
        for axes in self.subsets:
            dims = [AXES[axis] + 2 for axis in axes]
            scores = self.network(windows.flip(dims)).flip(dims)
            if self.exchange is not None and "x" in axes:
                scores = scores[:, self.exchange.to(scores.device)]
            total = scores if total is None else total.add_(scores)
        assert total is not None  # the empty subset is always there
        return total / len(self.subsets)
