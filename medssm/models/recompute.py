"""Gradient checkpointing: a part's activations are recomputed in the backward pass instead of kept."""

from typing import Any

import torch
from torch import nn
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

        Random numbers (dropout) are drawn again as they were, so the result is that of a plain run.
        """
        if self.recompute and torch.is_grad_enabled():
            return checkpoint(module, *inputs, use_reentrant=False)
        return module(*inputs)
