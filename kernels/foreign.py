"""Another package's kernels: whether they load, and its autograd.Function by its two halves, inside an operator."""

from functools import cache
from importlib import import_module
from types import SimpleNamespace

import torch
from torch import Tensor


class Context(SimpleNamespace):
    """Stands for the `ctx` of an autograd.Function: carries from its forward to its backward what it saved.

    Inside an operator autograd is switched off, so the function's halves are called by hand.
    """

    saved_tensors: tuple[Tensor | None, ...] = ()

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        self.saved_tensors = tensors


@cache
def reason_against_package(name: str, module: str, device: torch.device) -> str | None:
    """Why the package `name`, whose kernels are in `module`, cannot run on a device; None if it can."""
    if device.type != "cuda":
        return f"{name} runs on CUDA devices only"
    try:
        import_module(module)
    except Exception as error:  # a wheel built for another torch or CUDA fails in ways of its own
        why = f"{type(error).__name__}: {error}"
        return f"{name} does not load ({why}); pip install '.[cuda]' in medssm's source installs it"
    return None
