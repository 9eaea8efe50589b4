"""Where a network runs."""

import torch

from medssm.errors import UsageError


def usable_device(device: str | torch.device | None) -> torch.device:
    """The device asked for; a GPU if there is one, if None.

    Raises: UsageError if there is no such device here.
    """
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
        torch.empty(1, device=found)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(
            f"device {device}: not usable here; medssm doctor shows what is, --device cpu always works"
        ) from error
    return found
