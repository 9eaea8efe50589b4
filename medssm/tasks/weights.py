"""Which weights are meant: those that are named, of a run, published ones of a model, or the newest."""

from pathlib import Path

from medssm.checkpoints.hub import fetch_published
from medssm.errors import CheckpointError, UsageError
from medssm.models import model_info
from medssm.models.heads import head_info
from medssm.models.info import PublishedWeights

RUNS = Path("runs")
BEST = "best.safetensors"


def choose(
    weights: Path | None,
    run: Path | None,
    model: str | None,
    *,
    runs: Path = RUNS,
    task: str = "",
    otherwise: str | None = None,
) -> Path:
    """The file or run folder given; else the published file of `model`; else the newest run that has weights.

    Args:
        model: whose published weights to fetch; with a file or a run it is what theirs must be of, and is seen to when
            they are loaded.
        task: of the head whose published weights are meant, such as "detection"; "" for those of the model itself.
        otherwise: the model whose published weights are taken where nothing is given and there is no run.

    Raises: UsageError if both a file and a run are given, or nothing and nothing is there; CheckpointError if published
        weights cannot be fetched.
    """
    if weights and run:
        raise UsageError("--weights and --run each say which weights to use; give one of them")
    if weights or run:
        return weights or run  # type: ignore[return-value]
    if model:
        return fetch_published(model_info(model).name, _of_head(model, task) if task else None)
    if newest := newest_run(BEST, runs):
        return newest
    nothing = f"no weights were given and {runs.resolve()} holds no run with {BEST}"
    if otherwise is None:
        raise UsageError(f"{nothing}; give --weights FILE or --run DIR, or --model NAME to fetch what was published")
    try:
        return fetch_published(otherwise)
    except CheckpointError as error:
        raise CheckpointError(
            f"{nothing}, and the published ones cannot be had ({error}); train first (medssm train btcv), or give "
            "--weights FILE or --run DIR"
        ) from error


def _of_head(model: str, task: str) -> PublishedWeights:
    """What was published of the model under a head; of several schedules the longest, which is listed last."""
    info = model_info(model)
    found = [each.weights for each in info.dense if each.weights and head_info(each.head).task == task]
    if not found:
        raise UsageError(f"{info.name}: nothing was published of it for {task}; train it, or give weights of your own")
    return found[-1]


def newest_run(holding: str, runs: Path = RUNS) -> Path | None:
    """The run folder in `runs` that was written to last, of those that hold a file of this name; None if none does."""
    found = [file.parent for file in runs.glob(f"*/{holding}")]
    return max(found, key=lambda run: max(file.stat().st_mtime for file in run.iterdir()), default=None)


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
