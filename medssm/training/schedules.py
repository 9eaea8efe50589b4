"""Learning-rate schedules as pure functions of the step, so that a resumed run needs no scheduler state."""

import math
from abc import ABC, abstractmethod
from typing import Literal

from pydantic import Field

from medssm.training.section import Section


class Schedule(Section, ABC):
    """The learning rate at every step of a run."""

    def length(self, steps_per_epoch: int) -> int:
        """The steps that the schedule is made for; 0 if it takes the run's."""
        return 0

    @abstractmethod
    def rate(self, full: float, step: int, steps_per_epoch: int, total_steps: int) -> float:
        """The learning rate at a step of parameters whose full one is `full`."""


class WarmupCosine(Schedule):
    """Linear warm-up and half a cosine, stepped once per epoch.

    The rate is 0 in epoch 0, full in epochs `warmup_epochs - 1` and `warmup_epochs`, and reaches 0 at `epochs`.
    Its length is its own: a run that stops earlier is the beginning of the whole one.

    Source: the BTCV training of Mamba-ND, which takes it from UNETR (arXiv:2103.10504).
    """

    kind: Literal["warmup-cosine"] = "warmup-cosine"
    warmup_epochs: int = Field(gt=1)
    epochs: int = Field(gt=1)

    def length(self, steps_per_epoch: int) -> int:
        return self.epochs * steps_per_epoch

    def rate(self, full: float, step: int, steps_per_epoch: int, total_steps: int) -> float:
        epoch = step // steps_per_epoch
        if epoch < self.warmup_epochs:
            return full * epoch / (self.warmup_epochs - 1)
        return full * _half_cosine((epoch - self.warmup_epochs) / (self.epochs - self.warmup_epochs))


class OneCycle(Schedule):
    """Linear rise over the first share of the run's steps, then half a cosine to zero at its last.

    Its length is the run's, so the number of steps must be known before the first.
    """

    kind: Literal["one-cycle"] = "one-cycle"
    warmup: float = Field(0.1, gt=0, lt=1)

    def rate(self, full: float, step: int, steps_per_epoch: int, total_steps: int) -> float:
        rise = max(1, round(self.warmup * total_steps))
        if step < rise:
            return full * (step + 1) / rise
        return full * _half_cosine((step - rise) / max(1, total_steps - rise))


class StepCosine(Schedule):
    """Linear warm-up from `start`, half a cosine to `floor`, both stepped with every update; then `floor` to the end.

    Attributes:
        start, floor: learning rates, not shares of the full one.
        cosine_from, cosine_to: epochs at which the cosine is full and at its floor. It may begin before the warm-up
            ends, which it then does not touch.
        lag: updates by which the rate is late.

    Source: CosineLRScheduler of timm, by which the published runs were made.
    """

    kind: Literal["step-cosine"] = "step-cosine"
    epochs: int = Field(gt=0)
    warmup_epochs: int = Field(ge=0)
    start: float = Field(ge=0)
    floor: float = Field(ge=0)
    cosine_from: int = Field(ge=0)
    cosine_to: int = Field(gt=0)
    lag: int = Field(0, ge=0)

    def length(self, steps_per_epoch: int) -> int:
        return self.epochs * steps_per_epoch

    def rate(self, full: float, step: int, steps_per_epoch: int, total_steps: int) -> float:
        epoch = max(0, step - self.lag) / steps_per_epoch
        if epoch < self.warmup_epochs:
            return self.start + (full - self.start) * epoch / self.warmup_epochs
        share = (epoch - self.cosine_from) / (self.cosine_to - self.cosine_from)
        return self.floor + (full - self.floor) * _half_cosine(share)


class OverlappingCosine(Schedule):
    """Half a cosine to `floor`, times a linear warm-up that may overlap it; both stepped with every update.

    Attributes:
        floor: a learning rate, the same for parameters whose full rate is a lower one.
        start: the share at the first step; the warm-up is complete one step before the end of its epochs.
        cosine_from: the epoch at which the cosine leaves its top.

    Source: LinearLR and CosineAnnealingLR of MMEngine, as Mamba-ND's ImageNet training combines them.
    """

    kind: Literal["overlapping-cosine"] = "overlapping-cosine"
    epochs: int = Field(gt=0)
    warmup_epochs: int = Field(gt=0)
    start: float = Field(gt=0, le=1)
    floor: float = Field(ge=0)
    cosine_from: int = Field(ge=0)

    def length(self, steps_per_epoch: int) -> int:
        return self.epochs * steps_per_epoch

    def rate(self, full: float, step: int, steps_per_epoch: int, total_steps: int) -> float:
        share = (step / steps_per_epoch - self.cosine_from) / (self.epochs - self.cosine_from)
        cosine = self.floor + (full - self.floor) * _half_cosine(share)
        warm = min(1.0, step / max(1, self.warmup_epochs * steps_per_epoch - 1))
        return cosine * (self.start + (1 - self.start) * warm)


class Constant(Schedule):
    """Linear rise over `warmup_epochs`, then the full rate: what schedule-free optimisers are run with."""

    kind: Literal["constant"] = "constant"
    epochs: int = Field(gt=0)
    warmup_epochs: int = Field(ge=0)

    def length(self, steps_per_epoch: int) -> int:
        return self.epochs * steps_per_epoch

    def rate(self, full: float, step: int, steps_per_epoch: int, total_steps: int) -> float:
        return full * min(1.0, (step + 1) / max(1, self.warmup_epochs * steps_per_epoch))


def _half_cosine(share: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * min(1.0, max(0.0, share))))
