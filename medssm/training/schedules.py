"""Learning-rate schedules as pure functions of the step, so that a resumed run needs no scheduler state."""

import math
from abc import ABC, abstractmethod
from typing import Literal

from pydantic import Field, model_validator

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
    """Half a cosine to `floor`, times a linear warm-up, stepped with every update, that may overlap it.

    Attributes:
        floor: a learning rate, the same for parameters whose full rate is a lower one.
        start: the share at the first step; the warm-up is complete one step before the end of its epochs.
        cosine_from: the epoch at which the cosine leaves its top.
        cosine_to: the epoch at which it would be at its floor; None for the end.
        by_epoch: the cosine is stepped with every epoch, and after the last one before `cosine_to` no more.

    Source: LinearLR and CosineAnnealingLR of MMEngine, as Mamba-ND's training on images and on clips combines them.
    """

    kind: Literal["overlapping-cosine"] = "overlapping-cosine"
    epochs: int = Field(gt=0)
    warmup_epochs: int = Field(gt=0)
    start: float = Field(gt=0, le=1)
    floor: float = Field(ge=0)
    cosine_from: int = Field(ge=0)
    cosine_to: int | None = Field(None, gt=0)
    by_epoch: bool = False

    def length(self, steps_per_epoch: int) -> int:
        return self.epochs * steps_per_epoch

    def rate(self, full: float, step: int, steps_per_epoch: int, total_steps: int) -> float:
        end = self.cosine_to or self.epochs
        epoch = min(step // steps_per_epoch, end - 1) if self.by_epoch else step / steps_per_epoch
        share = (epoch - self.cosine_from) / (end - self.cosine_from)
        cosine = self.floor + (full - self.floor) * _half_cosine(share)
        warm = min(1.0, step / max(1, self.warmup_epochs * steps_per_epoch - 1))
        return cosine * (self.start + (1 - self.start) * warm)


class StepDecay(Schedule):
    """Linear warm-up over the first updates, and a rate that falls by a factor at some epochs.

    Attributes:
        milestones: epochs, from 0, at whose beginning the rate falls.
        factor: by which it does.
        warmup_steps, warmup_start: the share at the first step rises to 1, which it is at the last of these steps.
        passes: iterations that `warmup_steps` counts for each update of the weights, which is made in the last of
            them: more than one where the published counter counts the batches whose gradients are summed.

    Source: LinearLR and MultiStepLR of MMEngine, as the detectors of MMDetection are trained.
    """

    kind: Literal["step-decay"] = "step-decay"
    epochs: int = Field(gt=0)
    milestones: tuple[int, ...]
    factor: float = Field(0.1, gt=0, lt=1)
    warmup_steps: int = Field(ge=0)
    warmup_start: float = Field(gt=0, le=1)
    passes: int = Field(1, gt=0)

    def length(self, steps_per_epoch: int) -> int:
        return self.epochs * steps_per_epoch

    def rate(self, full: float, step: int, steps_per_epoch: int, total_steps: int) -> float:
        falls = sum(step >= milestone * steps_per_epoch for milestone in self.milestones)
        warm = _warm_share(_iteration(step, self.passes), self.warmup_steps, self.warmup_start)
        return full * self.factor**falls * warm


class Polynomial(Schedule):
    """Linear warm-up over the first iterations, then a power of the share that is left, down to 0 at the last one.

    Attributes:
        iterations: of the whole schedule; also the run's length unless that is given.
        power: 1 for a straight line.
        warmup_steps, warmup_start, passes: as for `StepDecay`; `iterations` counts as `warmup_steps` does.

    Source: LinearLR and PolyLR of MMEngine, as the segmenters of MMSegmentation are trained.
    """

    kind: Literal["polynomial"] = "polynomial"
    iterations: int = Field(gt=1)
    power: float = Field(1.0, gt=0)
    warmup_steps: int = Field(ge=0)
    warmup_start: float = Field(gt=0, le=1)
    passes: int = Field(1, gt=0)

    @model_validator(mode="after")
    def _warm_before_the_end(self) -> "Polynomial":
        if self.warmup_steps >= self.iterations - 1:
            raise ValueError(f"a warm-up of {self.warmup_steps} is not over before the {self.iterations} iterations")
        return self

    def length(self, steps_per_epoch: int) -> int:
        return self.iterations // self.passes

    def rate(self, full: float, step: int, steps_per_epoch: int, total_steps: int) -> float:
        iteration = _iteration(step, self.passes)
        if iteration < self.warmup_steps:
            return full * _warm_share(iteration, self.warmup_steps, self.warmup_start)
        left = 1 - (iteration - self.warmup_steps) / (self.iterations - self.warmup_steps - 1)
        return full * max(0.0, left) ** self.power


class Constant(Schedule):
    """Linear rise over `warmup_epochs`, then the full rate: what schedule-free optimisers are run with."""

    kind: Literal["constant"] = "constant"
    epochs: int = Field(gt=0)
    warmup_epochs: int = Field(ge=0)

    def length(self, steps_per_epoch: int) -> int:
        return self.epochs * steps_per_epoch

    def rate(self, full: float, step: int, steps_per_epoch: int, total_steps: int) -> float:
        return full * min(1.0, (step + 1) / max(1, self.warmup_epochs * steps_per_epoch))


def _iteration(step: int, passes: int) -> int:
    """The last of the iterations that make an update."""
    return step * passes + passes - 1


def _warm_share(iteration: int, warmup: int, start: float) -> float:
    """The share of a warm-up from `start` at iteration 0 to 1 at its last iteration."""
    return start + (1 - start) * min(1.0, iteration / max(1, warmup - 1)) if warmup else 1.0


def _half_cosine(share: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * min(1.0, max(0.0, share))))
