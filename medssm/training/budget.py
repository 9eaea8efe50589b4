"""How many steps a run has, when its length is given in steps, epochs or minutes."""

from collections.abc import Callable

from medssm.errors import UsageError
from medssm.training.schedules import OneCycle
from medssm.training.settings import TrainingSettings


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
            "resume without a new length, or train anew into another folder"
        )
    return total
