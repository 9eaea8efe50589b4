"""Which weights are meant."""

from pathlib import Path

from medssm.checkpoints.hub import fetch_published
from medssm.errors import UsageError
from medssm.models import model_info

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
