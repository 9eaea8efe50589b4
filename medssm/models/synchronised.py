"""Batch normalisation over the batches of all processes, on any device and with any backend of torch.distributed.

torch's own SyncBatchNorm runs on graphics cards alone.
"""

from typing import Any

import torch
from torch import Tensor, distributed, nn


class _Summed(torch.autograd.Function):
    """The sum of a tensor over all processes; so is its gradient, as each one's loss depends on every summand."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _Summed.forward(ctx, gradient.contiguous())


class SynchronisedBatchNorm2d(nn.BatchNorm2d):
    """BatchNorm2d whose statistics in training are those of the maps of all processes together.

    In one process it is BatchNorm2d, and so are its entries. Processes may have batches of different sizes; all must
    call it in the same order. Statistics are float32; the output has the type of the input.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalised maps (B, C, H, W)."""
        if not self.training or not distributed.is_initialized() or distributed.get_world_size() == 1:
            return super().forward(x)
        values = x.float()
        count = values.new_full((self.num_features,), values.numel() / self.num_features)
        # Two sums one after the other: variance from the mean square loses its digits where the mean is large.
        total, count = _Summed.apply(torch.stack([values.sum((0, 2, 3)), count]))
        mean = total / count
        centred = values - mean[:, None, None]
        variance = _Summed.apply(centred.square().sum((0, 2, 3))) / count
        self._track(mean.detach(), (variance * count / (count - 1)).detach())
        scale = self.weight * (variance + self.eps).rsqrt()
        return (centred * scale[:, None, None] + self.bias[:, None, None]).to(x.dtype)

    def _track(self, mean: Tensor, unbiased_variance: Tensor) -> None:
        momentum = self.momentum or 0.0  # torch has None for a plain mean, which no network here asks for
        buffers = dict(self.named_buffers(recurse=False))
        buffers["num_batches_tracked"].add_(1)
        buffers["running_mean"].lerp_(mean, momentum)
        buffers["running_var"].lerp_(unbiased_variance, momentum)
