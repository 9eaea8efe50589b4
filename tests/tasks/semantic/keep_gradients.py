"""`medssm` as typed, with BatchNorms of all processes together in the whole network, as its heads have them; each
process writes the gradients of the first step: gradients0.pt, gradients1.pt.
"""

import os
from typing import Any

import torch
from torch import nn

from medssm.cli.main import main
from medssm.models.synchronised import SynchronisedBatchNorm2d
from medssm.tasks.semantic import training as semantic
from medssm.training import loop

headed_network, clip_gradient = semantic.headed_network, loop._Loop.clip_gradient


def synchronised(*arguments: Any) -> nn.Module:
    """The network with its own BatchNorms of all processes together."""
    model = headed_network(*arguments)
    for module in list(model.modules()):
        for name, child in module.named_children():
            if type(child) is nn.BatchNorm2d:
                other = SynchronisedBatchNorm2d(child.num_features)
                other.load_state_dict(child.state_dict())
                setattr(module, name, other)
    return model


def keeping(self: Any) -> None:
    """Writes the gradients once."""
    path = f"gradients{os.environ.get('RANK', 0)}.pt"
    if not os.path.exists(path):
        torch.save({name: value.grad for name, value in self.model.module.named_parameters()}, path)
    clip_gradient(self)


semantic.headed_network = synchronised
loop._Loop.clip_gradient = keeping  # type: ignore[method-assign]
main()
