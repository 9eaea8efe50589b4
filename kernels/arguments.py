"""What every operator asks of the tensors that it is handed."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from medssm.kernels.errors import BackendError, ShapeError

FLOATS = (torch.float32, torch.bfloat16, torch.float16, torch.float64)


def check_tensors(operator: str, named: Iterable[tuple[str, Tensor | None]]) -> None:
    """Refuses tensors of any shapes that no backend of an operator could take; None stands for an absent one.

    Raises: ShapeError if one is not of floats or not on the device of the first.
    """
    present = [(name, tensor) for name, tensor in named if tensor is not None]
    first, device = present[0][0], present[0][1].device
    for name, tensor in present:
        if tensor.dtype not in FLOATS:
            raise ShapeError(f"{name} is {tensor.dtype}; {operator} takes float32, bfloat16, float16 or float64")
        if tensor.device != device:
            raise ShapeError(f"{name} is on {tensor.device} but {first} on {device}; put them on one device")


def refuse_tangents(operator: str, tensors: Iterable[Tensor | None]) -> None:
    """Refuses tensors of any shapes by which a forward-mode derivative is taken: an operator would lose it unseen.

    Raises: BackendError.
    """
    if have_tangents(tensors):
        raise BackendError(f"{operator} has no forward-mode derivative; take the backward one")


def have_tangents(tensors: Iterable[Tensor | None]) -> bool:
    """Whether a forward-mode derivative is taken by one of the tensors, of any shapes."""
    if forward_ad._current_level < 0:  # of no dual level: spares unpacking each of the tensors, which costs more
        return False
    return any(tensor is not None and forward_ad.unpack_dual(tensor).tangent is not None for tensor in tensors)


def check_agreement(
    inputs: Any, shapes: Mapping[str, tuple[int, ...]], alike: Iterable[str], first: str, state: int | None = None
) -> None:
    """Refuses a scan's inputs, a NamedTuple, whose shapes are not `shapes`; those `alike` have the dtype of `first`.

    The message gives `state`, the number of states, where the shape of `first` alone does not explain.

    Raises: ShapeError that names the tensor.
    """
    leader = getattr(inputs, first)
    for name, shape in shapes.items():
        tensor = getattr(inputs, name)
        if tensor is not None and tensor.shape != shape:
            given = f"{first} {tuple(leader.shape)}" + ("" if state is None else f" and {state} states")
            raise ShapeError(f"{name} has shape {tuple(tensor.shape)}; with {given} it must be {shape}")
    for name in alike:
        tensor = getattr(inputs, name)
        if tensor is not None and tensor.dtype != leader.dtype:
            raise ShapeError(f"{name} is {tensor.dtype} but {first} is {leader.dtype}; give them one dtype")


def parameter_dtype(activations: Tensor) -> torch.dtype:
    """The dtype of a recurrence and its parameters, for activations of any shape: float64 for float64, else float32."""
    return torch.float64 if activations.dtype == torch.float64 else torch.float32
