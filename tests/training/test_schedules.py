"""Learning rates and the length of a run."""

import pytest
import torch
from pydantic import ValidationError
from timm.scheduler import CosineLRScheduler

from medssm.errors import UsageError
from medssm.training.budget import length_of_run
from medssm.training.schedules import (
    Constant,
    OneCycle,
    OverlappingCosine,
    Polynomial,
    StepCosine,
    StepDecay,
    WarmupCosine,
)
from medssm.training.settings import TrainingSettings

STEPS_PER_EPOCH = 24


@pytest.mark.parametrize(
    ("epoch", "rate"),
    [(0, 0.0), (1, 2.041e-6), (49, 1e-4), (50, 1e-4), (100, 9.9975e-5), (2525, 5.0e-5), (4999, 1.0e-11)],
)
def test_the_published_schedule_has_the_published_rates(epoch: int, rate: float) -> None:
    schedule = WarmupCosine(warmup_epochs=50, epochs=5000)
    for step in (epoch * STEPS_PER_EPOCH, (epoch + 1) * STEPS_PER_EPOCH - 1):
        assert schedule.rate(1e-4, step, STEPS_PER_EPOCH, 7) == pytest.approx(rate, rel=1e-2 if epoch == 4999 else 1e-4)


def test_one_cycle_rises_over_a_tenth_and_falls_to_zero() -> None:
    factors = [OneCycle().rate(1.0, step, 1, 1000) for step in range(1000)]
    assert factors[:100] == pytest.approx([(step + 1) / 100 for step in range(100)])
    assert factors[100] == 1
    assert factors[550] == pytest.approx(0.5)
    assert factors[100:] == sorted(factors[100:], reverse=True)
    assert 0 < factors[-1] < 1e-5


@pytest.mark.parametrize("is_prefix", [True, False])
def test_the_cosine_by_steps_is_that_of_timm(is_prefix: bool) -> None:
    """With the warm-up before the cosine (Spatial-Mamba, GroupMamba), and laid over its beginning (MambaVision)."""
    schedule = StepCosine(
        epochs=12, warmup_epochs=2, start=1e-6, floor=1e-5, cosine_from=2 if is_prefix else 0, cosine_to=10
    )
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1e-3)
    cosine, warm = (8 if is_prefix else 10) * STEPS_PER_EPOCH, 2 * STEPS_PER_EPOCH
    theirs = CosineLRScheduler(
        optimizer, cosine, 1e-5, warmup_t=warm, warmup_lr_init=1e-6, warmup_prefix=is_prefix, t_in_epochs=False
    )
    for step in range(12 * STEPS_PER_EPOCH):
        theirs.step_update(step)
        assert schedule.rate(1e-3, step, STEPS_PER_EPOCH, 0) == pytest.approx(optimizer.param_groups[0]["lr"])


def test_a_constant_schedule_rises_to_the_full_rate_with_the_last_step_of_its_warm_up() -> None:
    rates = [Constant(epochs=3, warmup_epochs=1).rate(2.0, step, 4, 0) for step in range(6)]
    assert rates == [0.5, 1.0, 1.5, 2.0, 2.0, 2.0]


def stepped(scheduler: torch.optim.lr_scheduler.LRScheduler, steps: int) -> list[float]:
    """The rates of a scheduler of torch, step by step."""
    rates = []
    for _ in range(steps):
        rates.append(scheduler.get_last_lr()[0])
        scheduler.optimizer.step()
        scheduler.step()
    return rates


def sgd() -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1e-4)


@pytest.mark.parametrize("passes", [1, 5])
def test_step_decay_warms_up_and_falls_as_torchs_schedulers_do(passes: int) -> None:
    schedule = StepDecay(epochs=4, milestones=(2, 3), warmup_steps=30, warmup_start=0.001, passes=passes)
    every = STEPS_PER_EPOCH * passes
    optimizer = sgd()
    warm = torch.optim.lr_scheduler.LinearLR(optimizer, 0.001, total_iters=29)
    falls = torch.optim.lr_scheduler.MultiStepLR(optimizer, [2 * every, 3 * every])
    expected = stepped(torch.optim.lr_scheduler.ChainedScheduler([warm, falls], optimizer), 4 * every)
    found = [schedule.rate(1e-4, step, STEPS_PER_EPOCH, 0) for step in range(4 * STEPS_PER_EPOCH)]
    assert found == pytest.approx(expected[passes - 1 :: passes])
    assert schedule.length(STEPS_PER_EPOCH) == 4 * STEPS_PER_EPOCH


@pytest.mark.parametrize("passes", [1, 2])
def test_the_polynomial_is_that_of_torch_after_its_warm_up(passes: int) -> None:
    schedule = Polynomial(iterations=100, power=1.5, warmup_steps=20, warmup_start=1e-6, passes=passes)
    warm = stepped(torch.optim.lr_scheduler.LinearLR(sgd(), 1e-6, total_iters=19), 20)
    falling = stepped(torch.optim.lr_scheduler.PolynomialLR(sgd(), total_iters=79, power=1.5), 80)
    found = [schedule.rate(1e-4, step, 7, 0) for step in range(schedule.length(7))]
    assert found == pytest.approx((warm + falling)[passes - 1 :: passes], abs=1e-15)
    assert found[-1] == 0


def test_a_polynomial_without_room_after_its_warm_up_is_refused() -> None:
    with pytest.raises(ValidationError, match="a warm-up of 99 is not over before the 100 iterations"):
        Polynomial(iterations=100, warmup_steps=99, warmup_start=1e-6)


@pytest.mark.parametrize(
    ("full", "epoch", "rate"),
    [
        *[(1e-3, 0, 1e-4), (1e-3, 1, 9.99e-4), (1e-3, 2, 9.96e-4), (1e-3, 3, 9.91e-4)],
        *[(1e-3, 49, 1.986e-6), (1e-3, 50, 1.986e-6), (1e-4, 49, 1.098e-6), (1e-4, 50, 1.098e-6)],
    ],
)
def test_a_cosine_by_epoch_has_the_published_rates_of_ucf101(full: float, epoch: int, rate: float) -> None:
    schedule = OverlappingCosine(
        epochs=51, warmup_epochs=1, start=0.1, floor=1e-6, cosine_from=0, cosine_to=50, by_epoch=True
    )
    assert schedule.rate(full, epoch * STEPS_PER_EPOCH, STEPS_PER_EPOCH, 0) == pytest.approx(rate, rel=1e-3)


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_one_cycle_is_defined_for_very_short_runs(steps: int) -> None:
    assert all(0 < OneCycle().rate(1.0, step, 1, steps) <= 1 for step in range(steps))


def settings(schedule: str, **run: float) -> TrainingSettings:
    length = {"warmup_epochs": 50, "epochs": 5000} if schedule == "warmup-cosine" else {}
    return TrainingSettings.model_validate(
        {"optimizer": {"learning_rate": 1e-4}, "schedule": {"kind": schedule, **length}, "run": run}
    )


def never() -> float:
    raise AssertionError("the machine need not be timed")


@pytest.mark.parametrize(
    ("schedule", "run", "steps"),
    [
        ("warmup-cosine", {}, 120_000),
        ("warmup-cosine", {"max_epochs": 3}, 72),
        ("warmup-cosine", {"max_epochs": 3, "max_steps": 50}, 50),
        ("one-cycle", {"max_steps": 50}, 50),
    ],
)
def test_the_first_bound_that_is_reached_ends_the_run(schedule: str, run: dict[str, float], steps: int) -> None:
    assert length_of_run(settings(schedule, **run), STEPS_PER_EPOCH, 0, never) == steps


def test_minutes_become_steps_once() -> None:
    five_minutes = settings("one-cycle", max_minutes=5)
    assert length_of_run(five_minutes, STEPS_PER_EPOCH, 0, lambda: 0.25) == 1200
    assert length_of_run(five_minutes, STEPS_PER_EPOCH, 1200, never) == 1200


def test_a_published_run_may_be_made_longer_when_resumed() -> None:
    assert length_of_run(settings("warmup-cosine", max_steps=80), STEPS_PER_EPOCH, 50, never) == 80


def test_a_run_without_a_length_is_refused() -> None:
    with pytest.raises(UsageError, match="give --max-steps, --max-epochs or --max-minutes"):
        length_of_run(settings("one-cycle"), STEPS_PER_EPOCH, 0, never)


def test_an_unknown_schedule_is_refused() -> None:
    with pytest.raises(ValidationError, match="one-cycle"):
        settings("two-cycle")
