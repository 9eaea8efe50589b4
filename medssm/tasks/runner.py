"""What everything that runs a network on photographs or clips has in common."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, TypeVar

import torch
from torch import nn

from medssm.checkpoints import WeightsMetadata
from medssm.tasks.device import usable_device
from medssm.tasks.precision import autocast, check_precision

Network = TypeVar("Network", bound=nn.Module)
Preparation = TypeVar("Preparation")


@dataclass
class Runner(Generic[Network, Preparation]):
    """A network with all that it needs to be run on files.

    Attributes:
        network: is put into evaluation mode.
        model: its name, or that of its backbone.
        preparation: how a file becomes its input.
        names: of the classes.
        device: where it runs; a GPU if there is one, if None.
        precision: "32-true", "16-mixed" or "bf16-mixed".
    """

    network: Network
    model: str
    preparation: Preparation
    names: Sequence[str]
    device: str | torch.device | None = None
    precision: str = "32-true"

    def __post_init__(self) -> None:
        check_precision(self.precision, self.place)
        self.network = self.network.to(self.place).eval()

    @cached_property
    def place(self) -> torch.device:
        """The device that it came to."""
        return usable_device(self.device)

    @property
    def autocast(self) -> AbstractContextManager[object]:
        """A context in which the network has the precision."""
        return autocast(self.precision, self.place)


def input_fields(metadata: WeightsMetadata) -> dict[str, Any]:
    """Fields of the preparation that weights ask for; JSON knows no tuples."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in metadata.preprocessing.items()}
