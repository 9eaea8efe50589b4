"""`medssm` as typed, and afterwards each process writes the weights that it holds: rank0.pt, rank1.pt."""

import os

import torch
from torch import nn

from medssm.cli.main import main
from medssm.tasks.segmentation import training as segmentation

held: list[nn.Module] = []


class Keeping(segmentation.SegmentationTraining):
    """Remembers its network."""

    def build_model(self) -> nn.Module:
        held.append(super().build_model())
        return held[0]


segmentation.SegmentationTraining = Keeping  # type: ignore[misc]
try:
    main()
finally:
    torch.save(held[0].state_dict(), f"rank{os.environ['RANK']}.pt")
