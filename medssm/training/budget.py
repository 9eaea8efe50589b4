"""How many steps a run has, when its length is given in steps, epochs or minutes."""

from collections.abc import Callable

from medssm.errors import UsageError
from medssm.training.schedules import OneCycle
from medssm.training.settings import TrainingSettings

# Steps of a run at which its learning rate is looked at, and the share of the full one that is no cause for a word.
_LOOKED_AT, _NEARLY_FULL = 1000, 0.5


def length_of_run(
    settings: TrainingSettings, steps_per_epoch: int, fixed: int, seconds_per_step: Callable[[], float]
) -> int:
    """The steps of a run: the smallest of its bounds.

    Args:
        fixed: the length with which a resumed run was begun, 0 for a new one. Minutes are turned into steps once.
        seconds_per_step: measures the machine; called only if it has to be known.

    Raises: UsageError if there is no bound, or the length of a one-cycle schedule would change on the way.
    """
    run, schedule = settings.run, settings.schedule
    bounds = [run.max_steps or 0, (run.max_epochs or 0) * steps_per_epoch, schedule.length(steps_per_epoch)]
    if run.max_minutes:
        bounds.append(fixed or max(1, int(60 * run.max_minutes / seconds_per_step())))
    if not any(bounds):
        raise UsageError("run: the length is missing; give --max-steps, --max-epochs or --max-minutes")
    total = min(bound for bound in bounds if bound)
    if fixed and total != fixed and isinstance(schedule, OneCycle):
        raise UsageError(
            f"run: the one-cycle schedule was begun with {fixed} steps and cannot have {total} now; "
            "resume without a new length, or begin a new run with these weights: --set model.pretrained=RUN with "
            "another --out"
        )
    return total


def short_run(settings: TrainingSettings, steps_per_epoch: int, steps: int) -> str:
    """What a run that ends long before its schedule should know of its learning rate; nothing where all is well."""
    schedule = settings.schedule
    planned = schedule.length(steps_per_epoch)
    if steps >= planned:
        return ""
    looked_at = range(0, steps, max(1, steps // _LOOKED_AT))
    highest = max(schedule.rate(1.0, step, steps_per_epoch, steps) for step in looked_at)
    if highest >= _NEARLY_FULL:
        return ""
    return (
        f"beware: the run ends after {steps} of the {planned} steps that its schedule is made for, and its learning "
        f"rate never exceeds {highest:.1%} of the full one; shorten the schedule (--set schedule.epochs=... and "
        "schedule.warmup_epochs=..., or --set schedule.kind=one-cycle, which takes the run's length)"
    )
