"""Learning-rate schedules as pure functions of the step, so that a resumed run needs no scheduler state."""

import math
from typing import Literal

from pydantic import Field

from medssm.training.section import Section


class WarmupCosine(Section):
    """Linear warm-up and half a cosine, stepped once per epoch.

    The rate is 0 in epoch 0, full in epochs `warmup_epochs - 1` and `warmup_epochs`, and reaches 0 at `epochs`.
    Its length is its own: a run that stops earlier is the beginning of the whole one.

    Source: the BTCV training of Mamba-ND, which takes it from UNETR (arXiv:2103.10504).
    """

    kind: Literal["warmup-cosine"] = "warmup-cosine"
    warmup_epochs: int = Field(gt=1)
    epochs: int = Field(gt=1)

    def factor(self, step: int, steps_per_epoch: int, total_steps: int) -> float:
        """The share of the full learning rate at a step."""
        epoch = step // steps_per_epoch
        if epoch < self.warmup_epochs:
            return epoch / (self.warmup_epochs - 1)
        return _half_cosine((epoch - self.warmup_epochs) / (self.epochs - self.warmup_epochs))


class OneCycle(Section):
    """Linear rise over the first share of the run's steps, then half a cosine to zero at its last.

    Its length is the run's, so the number of steps must be known before the first.
    """

    kind: Literal["one-cycle"] = "one-cycle"
    warmup: float = Field(0.1, gt=0, lt=1)

    def factor(self, step: int, steps_per_epoch: int, total_steps: int) -> float:
        """The share of the full learning rate at a step."""
        rise = max(1, round(self.warmup * total_steps))
        if step < rise:
            return (step + 1) / rise
        return _half_cosine((step - rise) / max(1, total_steps - rise))


def _half_cosine(share: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * min(1.0, share)))
