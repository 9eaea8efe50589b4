"""Weights from a run folder, our own file or a published one, and the networks they belong to."""

from pathlib import Path

import torch
from torch import Tensor, nn

from medssm import models
from medssm.checkpoints.metadata import WeightsMetadata
from medssm.checkpoints.origins import published_metadata
from medssm.checkpoints.published import WeightsFile, first_names, read_weights_file
from medssm.checkpoints.recognition import Fit, expected_shapes, fit_own, recognise
from medssm.errors import CheckpointError, UsageError, quoted, reason_of
from medssm.models.arguments import frozen_arguments
from medssm.models.variant import StateDict

BEST = "best.safetensors"


def load_weights(path: str | Path, model: str | None = None) -> tuple[StateDict, WeightsMetadata]:
    """State dict and metadata of a run folder, one of our files, or a published file of a known model.

    The entries are exactly those of the model that the metadata name, in its order. What a published file does not say
    (classes, preprocessing, licence) is taken from what its model was published with.

    Args:
        model: whose weights a published file holds, where several have the same entries; None to tell by them.

    Raises: CheckpointError if the file is damaged, foreign, does not fit its model, or holds NaN or infinite values.
    """
    file = read_weights_file(find_weights(Path(path)))
    fit = nearest_model(file, model)
    if fit is None or fit.faults:
        raise CheckpointError(explain_misfit(file, fit))
    metadata = file.metadata or published_metadata(fit, file.path)
    state = {name: _own_copy(fit.state[name]) for name in expected_shapes(*fit.network)}
    if damaged := next((name for name, tensor in state.items() if not tensor.isfinite().all()), None):
        raise CheckpointError(
            f"{file.path}: {damaged} holds values that are no finite numbers, of which a network makes wrong answers; "
            "get the file again, or take the weights of an earlier step"
        )
    return state, metadata


def load_model(path: str | Path, model: str | None = None) -> tuple[nn.Module, WeightsMetadata]:
    """The network of a weights file in evaluation mode, with its metadata; the arguments are those of `load_weights`.

    Raises: CheckpointError if the file is damaged, foreign, or does not fit its model.
    """
    state, metadata = load_weights(path, model)
    with torch.device("meta"):
        network = models.fresh_model(
            metadata.model,
            num_classes=metadata.num_classes,
            in_channels=metadata.in_channels,
            input_size=_laid_out_for(metadata),
            head=metadata.head,
            head_settings=metadata.head_settings,
            arguments=metadata.arguments,
        )
    network.load_state_dict(state, assign=True)
    return network.eval(), metadata


def find_weights(path: Path) -> Path:
    """The weights file meant by a path: the file itself, or the best weights of a run folder.

    Raises: CheckpointError on a folder without them.
    """
    if not path.is_dir():
        return path
    if (path / BEST).is_file():
        return path / BEST
    if (path / "last.ckpt").is_file():
        raise CheckpointError(
            f"{path}: this run has not been validated yet and has no {BEST}; continue it with --resume, or set a "
            "validation in its recipe"
        )
    raise CheckpointError(f"{path}: holds no {BEST}; give the folder of a run or a weights file")


def nearest_model(file: WeightsFile, model: str | None = None) -> Fit | None:
    """A file's tensors beside the model that it names, or else the one that they come nearest to.

    Args:
        model: the one that it should be of; preferred where another fits no better.

    Raises: CheckpointError if the file names a model that is not known here; UsageError if another package offers it
        and does not load.
    """
    if file.metadata is None:
        return recognise(file.state, models.model_info(model).name if model else None)
    metadata = file.metadata
    if models.is_offered(metadata.model):
        models.model_info(metadata.model)  # which says why, if the package that offers it does not load
    if not models.is_model(metadata.model) or metadata.head not in ("", *models.list_heads()):
        raise CheckpointError(
            f"{file.path}: holds weights of {quoted(metadata.model)}"
            f"{f' with {quoted(metadata.head)}' if metadata.head else ''}, "
            "which is no model here; upgrade medssm, or install the package that offers it"
        )
    network = (
        metadata.model,
        metadata.in_channels,
        metadata.num_classes,
        _laid_out_for(metadata),
        metadata.head,
        tuple(metadata.head_settings.items()),
        frozen_arguments(metadata.arguments),
    )
    try:
        return fit_own(network, file.state)
    except (UsageError, RuntimeError, ValueError, ArithmeticError) as error:
        raise CheckpointError(
            f"{file.path}: the numbers in its header lay out no {metadata.model} ({reason_of(error, 120)}); "
            "copy or download it again"
        ) from error


def _laid_out_for(metadata: WeightsMetadata) -> tuple[int, ...] | None:
    """The size that a network's positions and windows are for. Volumes are cut into crops of any size."""
    is_volume = models.model_info(metadata.model).task == "segmentation"
    return None if is_volume else metadata.input_size or None


def explain_misfit(file: WeightsFile, fit: Fit | None) -> str:
    """The sentence for a state dict that is no model's, or not quite."""
    if fit is None:
        systems = list(dict.fromkeys(models.model_info(name).system for name in models.list_models()))
        return (
            f"{file.path}: expected a network of {', '.join(systems[:-1])} or {systems[-1]}, found {len(file.state)} "
            f"tensors that are those of no model here ({first_names(list(file.state))})"
        )
    faults = {"missing": fit.missing, "too many": fit.extra, "of another shape": fit.reshaped}
    faults = {fault: names for fault, names in faults.items() if names}
    # Three names in all, so that the sentence stays one.
    found = [
        f"{len(names)} entries {fault} ({first_names(names, 3 // len(faults))})" for fault, names in faults.items()
    ]
    expected = len(expected_shapes(*fit.network))
    network = f"{fit.model} with {fit.head}" if fit.head else fit.model
    return f"{file.path}: expected the {expected} entries of {network}, found {', '.join(found)}"


def _own_copy(tensor: Tensor) -> Tensor:
    """A copy that outlives the file; published half-precision weights become float32, in which networks are built."""
    dtype = torch.float32 if tensor.is_floating_point() else tensor.dtype
    return tensor.to(dtype, copy=True, memory_format=torch.contiguous_format)
