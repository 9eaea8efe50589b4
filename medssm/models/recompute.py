"""Gradient checkpointing: a part's activations are recomputed in the backward pass instead of kept."""

from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


def run(module: nn.Module, *inputs: Any, recompute: bool) -> Any:
    """`module(*inputs)`; with `recompute`, only the inputs are kept for the backward pass.

    Random numbers (dropout) are drawn again as they were, so the result is that of a plain run.
    """
    if recompute and torch.is_grad_enabled():
        return checkpoint(module, *inputs, use_reentrant=False)
    return module(*inputs)
