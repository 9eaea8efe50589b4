"""The arithmetic of a network that is only run, by the names that recipes use."""

from contextlib import AbstractContextManager
from typing import Literal, get_args

import torch

from medssm.errors import UsageError

Precision = Literal["32-true", "16-mixed", "bf16-mixed"]
PRECISIONS: tuple[str, ...] = get_args(Precision)
_TYPES = {"16-mixed": torch.float16, "bf16-mixed": torch.bfloat16}


def check_precision(precision: str, device: torch.device) -> None:
    """Raises UsageError on an unknown name, and on float16 where there is none."""
    if precision not in PRECISIONS:
        raise UsageError(f"precision {precision}: unknown; give one of {', '.join(PRECISIONS)}")
    if precision == "16-mixed" and device.type == "cpu":
        raise UsageError("precision 16-mixed: a CPU has no float16; give 32-true or bf16-mixed")


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """A context in which layers that can take it compute in 16 bits, for the "mixed" precisions."""
    return torch.autocast(device.type, _TYPES.get(precision), enabled=precision in _TYPES)
