"""Options that several commands share."""

from enum import Enum


class Precision(str, Enum):
    """Of the arithmetic of a network that is only run, by the names that recipes use."""

    full = "32-true"
    half = "16-mixed"
    bfloat = "bf16-mixed"
