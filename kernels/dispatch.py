"""Which backend runs an operator: chosen per call, by `use_backend`, by MEDSSM_KERNELS, or automatically."""

import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from medssm.kernels.arguments import refuse_tangents
from medssm.kernels.errors import BackendError

AUTO = "auto"
ENVIRONMENT_VARIABLE = "MEDSSM_KERNELS"

_operators: dict[str, "Operator"] = {}
_requested = os.environ.get(ENVIRONMENT_VARIABLE, AUTO)


@dataclass(frozen=True)
class Operator:
    """An operator and its backends.

    Attributes:
        name: the public name.
        modules: backend name -> module, imported on first use, in order of preference. A module has
            `unavailable(device)` and `unsupported(*arguments)`, each a reason or None, and the computation itself.
    """

    name: str
    modules: Mapping[str, str]

    def __post_init__(self) -> None:
        _operators[self.name] = self

    def backend(self, name: str) -> ModuleType:
        """The module of one backend."""
        return _module(self.modules[name])

    def reason_against(self, name: str, device: torch.device, arguments: tuple[Any, ...]) -> str | None:
        """Why a backend cannot run here or with these arguments; None if it can."""
        module = self.backend(name)
        return module.unavailable(device) or module.unsupported(*arguments)

    def choose(self, requested: str, device: torch.device, *arguments: Any) -> ModuleType:
        """The backend to run on tensors of a device: the one asked for, or the first that can.

        Raises: BackendError with every reason if none can, or if a tensor lies elsewhere or carries a tangent, as may
            be in a program that calls the operator without the function that checks its arguments.
        """
        tensors = _tensors_in(arguments)
        for tensor in tensors:
            if tensor.device != device:
                raise BackendError(f"{self.name} was handed tensors on {tensor.device} and {device}; move the program")
        refuse_tangents(self.name, tensors)
        name = requested or _requested
        if name not in self.modules and name not in known_backends():
            raise BackendError(f"no backend is called {name!r}; there are {', '.join(known_backends())}")
        if requested and requested != AUTO and requested not in self.modules:
            raise BackendError(f"{self.name} has no backend {requested!r}; it has {', '.join(self.modules)}")
        candidates = [name] if name in self.modules else list(self.modules)
        reasons = {}
        for candidate in candidates:
            reason = self.reason_against(candidate, device, arguments)
            if reason is None:
                if "native" in reasons and device.type == "cpu" and (why := self.backend("native").unavailable(device)):
                    _warn_of_reference(why)
                return self.backend(candidate)
            reasons[candidate] = reason
        listed = "; ".join(f"{candidate}: {reason}" for candidate, reason in reasons.items())
        raise BackendError(f"{self.name} cannot run on {device}: {listed}")


@cache
def _module(name: str) -> ModuleType:
    return import_module(name)


def _tensors_in(arguments: tuple[Any, ...]) -> list[Tensor]:
    """Those among the arguments, and in a list or tuple among them."""
    groups = (argument if isinstance(argument, list | tuple) else (argument,) for argument in arguments)
    return [item for group in groups for item in group if isinstance(item, Tensor)]


@cache
def _warn_of_reference(why: str) -> None:
    """Said once for all operators."""
    warnings.warn(f"medssm runs on its slow reference kernels: {why}", RuntimeWarning, stacklevel=3)


def operators() -> Mapping[str, Operator]:
    """Every operator by its public name."""
    return dict(_operators)


def known_backends() -> tuple[str, ...]:
    """`auto` and every backend name of any operator."""
    return (AUTO, *dict.fromkeys(name for operator in _operators.values() for name in operator.modules))


@contextmanager
def use_backend(name: str) -> Iterator[None]:
    """Runs the block with one backend, in the whole process; an operator that has no such backend chooses for itself.

    Raises: BackendError if no operator has a backend of that name.
    """
    global _requested
    if name not in known_backends():
        raise BackendError(f"no backend is called {name!r}; there are {', '.join(known_backends())}")
    before, _requested = _requested, name
    try:
        yield
    finally:
        _requested = before
