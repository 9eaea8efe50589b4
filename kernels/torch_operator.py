"""Functions of ours as operators of torch, which start without its compiler."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import Tensor
from torch.library import CustomOpDef

_LIBRARY = torch.library.Library("medssm", "FRAGMENT")  # what is registered with it lasts as long as it does


def torch_operator(
    name: str,
    *,
    schema: str | None = None,
    mutates_args: tuple[str, ...] = (),
    fake: Callable[..., Any] | None = None,
) -> Callable[[Callable[..., Any]], CustomOpDef]:
    """Makes a function the operator `medssm::name`, as `torch.library.custom_op` does.

    On the CPU the function is called as it is: what torch wraps it in imports torch's compiler at the first call, which
    takes 1.4 s of every command.

    Args:
        fake: unwritten tensors like those that the function gives, by the same arguments. Of a batch without samples,
            (0, ...) first among them, they are the result, with zeros for the gradients of what has no batch.
    """

    def decorate(function: Callable[..., Any]) -> CustomOpDef:
        called = function if fake is None else _of_any_batch(function, fake)
        operator = torch.library.custom_op(f"medssm::{name}", called, mutates_args=mutates_args, schema=schema)
        _LIBRARY.impl(name, called, "CPU")
        if fake is not None:
            operator.register_fake(fake)
        return operator

    return decorate


def _of_any_batch(function: Callable[..., Any], fake: Callable[..., Any]) -> Callable[..., Any]:
    """The function, which is not called where there is nothing to compute."""

    @wraps(function)
    def called(*arguments: Any) -> Any:
        if _has_samples(arguments[0]):
            return function(*arguments)
        found = fake(*arguments)
        for tensor in found if isinstance(found, tuple) else (found,):
            tensor.zero_()
        return found

    return called


def _has_samples(first: Tensor | list[Tensor]) -> bool:
    """Whether the first argument of an operator, (batch, ...) or parts of such, has samples."""
    return bool((first if isinstance(first, Tensor) else first[0]).shape[0])
