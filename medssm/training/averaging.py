"""The moving average (EMA) of a network, and statistics that devices gather each for itself."""

from typing import Literal

import torch
import torch.distributed
from timm.utils import ModelEmaV3
from torch import nn

from medssm.training.settings import AveragingSettings


class Average:
    """The moving average of every weight and statistic of a network.

    Attributes:
        module: the averaged network, in evaluation mode.
    """

    def __init__(self, model: nn.Module, settings: AveragingSettings) -> None:
        self._average = ModelEmaV3(model, decay=settings.decay).requires_grad_(False)
        self._copies_first = settings.first_copies

    @property
    def module(self) -> nn.Module:
        return self._average.module

    def update(self, model: nn.Module, step: int) -> None:
        """Takes in the weights after a step, the first being 0."""
        if step == 0 and self._copies_first:
            self._average.set(model)
        else:
            self._average.update(model)


def share_statistics(model: nn.Module, how: Literal["first", "average"]) -> None:
    """Gives the running statistics of all processes the first one's values, or the average.

    Taken after every step: as a running mean is linear in what it is made of, this leaves the same values as averaging
    once per epoch, and every process then goes on, and averages, as the first one does.
    """
    buffers = [buffer for buffer in model.buffers() if buffer.is_floating_point()]
    if not buffers or not torch.distributed.is_initialized() or torch.distributed.get_world_size() == 1:
        return
    values = torch.cat([buffer.detach().flatten() for buffer in buffers])
    if how == "average":
        torch.distributed.all_reduce(values)
        values /= torch.distributed.get_world_size()
    else:
        torch.distributed.broadcast(values, src=0)
    for buffer, value in zip(buffers, values.split([buffer.numel() for buffer in buffers]), strict=True):
        buffer.copy_(value.view_as(buffer))
