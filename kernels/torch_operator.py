"""Functions of ours as operators of torch, which start without its compiler."""

from collections.abc import Callable
from typing import Any

import torch
from torch.library import CustomOpDef

_LIBRARY = torch.library.Library("medssm", "FRAGMENT")  # what is registered with it lasts as long as it does


def torch_operator(
    name: str, *, schema: str | None = None, mutates_args: tuple[str, ...] = ()
) -> Callable[[Callable[..., Any]], CustomOpDef]:
    """Makes a function the operator `medssm::name`, as `torch.library.custom_op` does.

    On the CPU the function is called as it is: what torch wraps it in imports torch's compiler at the first call, which
    takes 1.4 s of every command.
    """

    def decorate(function: Callable[..., Any]) -> CustomOpDef:
        operator = torch.library.custom_op(f"medssm::{name}", function, mutates_args=mutates_args, schema=schema)
        _LIBRARY.impl(name, function, "CPU")
        return operator

    return decorate
