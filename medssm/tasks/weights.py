"""Which weights are meant: those that are named, of a run, published ones of a model, or the newest."""

from pathlib import Path

from torch import nn

from medssm.checkpoints import WeightsMetadata, load_model
from medssm.checkpoints.hub import fetch_published
from medssm.errors import CheckpointError, UsageError
from medssm.models import model_info
from medssm.models.info import TaskName

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


# What stands for the weights that the authors published.
PUBLISHED = "published"


def weights_path(weights: str | Path, model: str | None) -> Path:
    """The file or run folder; PUBLISHED fetches those of `model`.

    Raises: UsageError if they are asked for without saying whose; what `fetch_published` raises.
    """
    if str(weights) != PUBLISHED:
        return Path(weights)
    if model is None:
        raise UsageError(f"--weights {PUBLISHED}: say whose, with --model NAME")
    return fetch_published(model_info(model).name)


def load_network(weights: str | Path, model: str | None, task: TaskName) -> tuple[nn.Module, WeightsMetadata]:
    """The network of weights that are to be measured, for a task of the registry.

    Args:
        model: whose weights they are; None to tell by the file.

    Raises: UsageError or CheckpointError if they cannot be used, are another model's, or are for another task.
    """
    name = model_info(model).name if model else None
    network, metadata = load_model(weights_path(weights, name), name)
    if name and metadata.model != name:
        raise CheckpointError(f"{weights}: holds weights of {metadata.model}, not of {name}; leave --model out")
    if (found := model_info(metadata.model).task) != task:
        raise UsageError(f"{weights}: holds weights of {metadata.model}, which is for {found}, not for {task}")
    return network, metadata
