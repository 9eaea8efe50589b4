"""Gradient checkpointing: a part's activations are recomputed in the backward pass instead of kept."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint


class Recomputing(nn.Module):
    """A network whose blocks can be recomputed; it calls them by `run`."""

    recompute = False

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Trades time for memory in training: every block is computed again in the backward pass."""
        for module in self.modules():
            if isinstance(module, Recomputing):
                module.recompute = enable

    def run(self, module: nn.Module, *inputs: Any) -> Any:
        """`module(*inputs)`; when recomputing, only the inputs are kept for the backward pass.

        Random numbers (dropout) are drawn again as they were, and a BatchNorm counts the batch once, so the result is
        that of a plain run.
        """
        if not self.recompute or not torch.is_grad_enabled():
            return module(*inputs)
        norms = [part for part in module.modules() if isinstance(part, _BatchNorm) and part.track_running_stats]
        if not norms:
            return checkpoint(module, *inputs, use_reentrant=False)

        def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
            return nullcontext(), _statistics_kept(norms)

        return checkpoint(module, *inputs, use_reentrant=False, context_fn=contexts)


@contextmanager
def _statistics_kept(norms: list[_BatchNorm]) -> Iterator[None]:
    """Runs the block with running statistics that do not change."""
    momenta = [norm.momentum for norm in norms]
    counters = [norm.get_buffer("num_batches_tracked") for norm in norms]
    counts = [counter.clone() for counter in counters]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum, counter, count in zip(norms, momenta, counters, counts, strict=True):
            norm.momentum = momentum
            counter.copy_(count)
