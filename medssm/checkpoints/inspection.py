"""What a weights file holds, and a published file turned into ours."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medssm.checkpoints.loading import find_weights, load_weights, nearest_model
from medssm.checkpoints.metadata import WeightsMetadata
from medssm.checkpoints.origins import published_metadata
from medssm.checkpoints.own_format import save_weights
from medssm.checkpoints.published import read_weights_file
from medssm.errors import UsageError
from medssm.models import model_info


@dataclass(frozen=True)
class Inspection:
    """What a weights file holds.

    Attributes:
        format: of the file. entries, parameters: tensors, and values in them.
        system, model: the nearest known ones; None for a file that is no model's. head: of a detector or a segmenter.
        missing, extra, reshaped: what keeps it from fitting; dropped: superfluous names that do no harm.
        metadata: its own, or that of the published model. notes: numbers and words beside the tensors.
    """

    path: Path
    format: str
    entries: int
    parameters: int
    system: str | None
    model: str | None
    head: str
    missing: tuple[str, ...]
    extra: tuple[str, ...]
    reshaped: tuple[str, ...]
    dropped: tuple[str, ...]
    metadata: WeightsMetadata | None
    notes: dict[str, Any]


def inspect_weights(path: str | Path) -> Inspection:
    """What a run folder or weights file holds, whether or not it fits a model.

    Raises: CheckpointError on a file that cannot be read; FileNotFoundError.
    """
    file = read_weights_file(find_weights(Path(path)))
    fit = nearest_model(file)
    return Inspection(
        path=file.path,
        format=file.format,
        entries=len(file.state),
        parameters=sum(tensor.numel() for tensor in file.state.values()),
        system=model_info(fit.model).system if fit else None,
        model=fit.model if fit else None,
        head=fit.head if fit else "",
        missing=fit.missing if fit else (),
        extra=fit.extra if fit else (),
        reshaped=fit.reshaped if fit else (),
        dropped=fit.dropped if fit else (),
        metadata=file.metadata or (published_metadata(fit, file.path) if fit else None),
        notes=file.notes,
    )


def convert_weights(path: str | Path, out: str | Path, *, overwrite: bool = False) -> WeightsMetadata:
    """Writes a published file (or any other that `load_weights` takes) as ours, and gives its metadata.

    Raises: UsageError if `out` exists and may not be overwritten; CheckpointError as `load_weights`.
    """
    if Path(out).exists() and not overwrite:
        raise UsageError(f"{out}: exists already; choose another name or give --overwrite")
    state, metadata = load_weights(path)
    save_weights(out, state, metadata)
    return metadata
