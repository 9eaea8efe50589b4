"""Which weights a prediction uses when the user names none, or a run, or a model."""

from pathlib import Path

from medssm.checkpoints import fetch_published
from medssm.errors import CheckpointError, UsageError

RUNS = Path("runs")
BEST = "best.safetensors"


def choose_weights(weights: Path | None, run: Path | None, model: str | None, runs: Path = RUNS) -> Path:
    """The file or run folder given; else the newest run that has weights; else the published file of a model.

    Args:
        model: whose published weights to fetch, without a look at the runs; None takes them only if there is no run.

    Raises: UsageError if more than one is given; CheckpointError if there is nothing and it cannot be fetched.
    """
    if sum(given is not None for given in (weights, run, model)) > 1:
        raise UsageError("--weights, --run and --model each say which weights to use; give one of them")
    if weights or run:
        return weights or run  # type: ignore[return-value]
    if model is None and (newest := newest_run(runs)):
        return newest
    try:
        return fetch_published(model or "mamband-s")
    except CheckpointError as error:
        if model is not None:
            raise
        raise CheckpointError(
            f"no weights were given, {runs.resolve()} holds no run with {BEST}, and the published ones cannot be had "
            f"({error}); train first (medssm train btcv), or give --weights FILE or --run DIR"
        ) from error


def choose_classifier(weights: Path | None, run: Path | None, model: str | None, runs: Path = RUNS) -> Path:
    """The file or run folder given, which may be of `model`; else the published file of `model`; else the newest run.

    Raises: UsageError if file and folder are given, or nothing and there is no run; CheckpointError if the published
        file cannot be fetched.
    """
    if weights and run:
        raise UsageError("--weights and --run each say which weights to use; give one of them")
    chosen = weights or run or (fetch_published(model) if model else newest_run(runs))
    if chosen is None:
        raise UsageError(
            f"no weights were given and {runs.resolve()} holds no run with {BEST}; give --weights FILE or --run DIR, "
            "or --model NAME to fetch what was published"
        )
    return chosen


def choose_trained(weights: Path | None, run: Path | None, runs: Path = RUNS) -> Path:
    """The file or run folder given; else the newest run that has weights.

    Raises: UsageError if both are given, or none and there is no run.
    """
    if weights and run:
        raise UsageError("--weights and --run each say which weights to use; give one of them")
    chosen = weights or run or newest_run(runs)
    if chosen is None:
        raise UsageError(
            f"no weights were given and {runs.resolve()} holds no run with {BEST}; give --weights FILE or --run DIR"
        )
    return chosen


def newest_run(runs: Path = RUNS) -> Path | None:
    """The run folder in `runs` whose best weights were written last; None if there is none."""
    files = sorted(runs.glob(f"*/{BEST}"), key=lambda file: file.stat().st_mtime)
    return files[-1].parent if files else None
