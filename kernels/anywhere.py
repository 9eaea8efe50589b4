"""The two answers of a backend that runs on every device and takes every argument: the references, and torch's own."""

import torch


def unavailable(device: torch.device) -> None:
    """No reason."""
    return


def unsupported(*arguments: object) -> None:
    """No reason."""
    return
