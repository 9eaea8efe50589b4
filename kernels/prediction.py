"""What the operators of the convolutional decoder share: only prediction on the CPU has kernels of its own."""

import torch
from torch import Tensor

from medssm.kernels.arguments import have_tangents
from medssm.kernels.dispatch import AUTO
from medssm.kernels.errors import BackendError


def takes_torch(operator: str, backend: str | None, *tensors: Tensor | None) -> bool:
    """Whether a call is made of torch's own operators: differentiable, traced and autocast like any others.

    So it is whenever a gradient, backward or forward, is needed, off the CPU, and under autocast.

    Raises: BackendError if a gradient is needed and the native backend was asked for by name.
    """
    given = [tensor for tensor in tensors if tensor is not None]
    trains = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in given)
    trains = trains or have_tangents(given)
    if trains and backend == "native":
        raise BackendError(
            f"{operator} on native computes no gradients; call it under torch.no_grad() or leave out backend"
        )
    plain = trains or given[0].device.type != "cpu" or torch.is_autocast_enabled("cpu")
    return plain and backend in (None, AUTO, "torch")


def reason_against_tensors(*tensors: Tensor | None) -> str | None:
    """Why the native kernels cannot take these tensors; None if they can."""
    for tensor in tensors:
        if tensor is not None and tensor.dtype != torch.float32:
            return f"native takes float32, not {str(tensor.dtype).removeprefix('torch.')}"
        if tensor is not None and tensor.numel() == 0:
            return f"native takes no empty tensor, and one has shape {tuple(tensor.shape)}"
    return None
