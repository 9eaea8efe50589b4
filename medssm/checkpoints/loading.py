"""Weights from a run folder, our own file or a published one, and the networks they belong to."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from medssm import models
from medssm.checkpoints.hub import fetch_published
from medssm.checkpoints.metadata import WeightsMetadata
from medssm.checkpoints.published import WeightsFile, first_names, read_weights_file
from medssm.checkpoints.recognition import Fit, expected_shapes, fit_to, recognise
from medssm.data.organs import BTCV_ORGANS
from medssm.data.preprocessing import Preprocessing
from medssm.errors import CheckpointError, UsageError
from medssm.models.info import StateDict

BEST = "best.safetensors"


def load_weights(path: str | Path) -> tuple[StateDict, WeightsMetadata]:
    """State dict and metadata of a run folder, one of our files, or a published file of a known model.

    The entries are exactly those of the model that the metadata name, in its order. What a published file does not say
    (classes, preprocessing, licence) is taken from what its model was published with.

    Raises: CheckpointError if the file is damaged, foreign, or does not fit its model.
    """
    file = read_weights_file(find_weights(Path(path)))
    fit = nearest_model(file)
    if fit is None or fit.faults:
        raise CheckpointError(explain_misfit(file, fit))
    metadata = file.metadata or published_metadata(fit, file.path)
    return {name: _own_copy(fit.state[name]) for name in expected_shapes(*fit.network)}, metadata


def load_model(path: str | Path) -> tuple[nn.Module, WeightsMetadata]:
    """The network of a weights file in evaluation mode, with its metadata; `path` as in `load_weights`.

    Raises: CheckpointError if the file is damaged, foreign, or does not fit its model.
    """
    state, metadata = load_weights(path)
    with torch.device("meta"):
        model = models.create_model(metadata.model, num_classes=metadata.num_classes, in_channels=metadata.in_channels)
    model.load_state_dict(state, assign=True)
    return model.eval(), metadata


def create_model(name: str, *, pretrained: bool | str | Path = False, **options: Any) -> nn.Module:
    """A network in training mode, with weights if asked for.

    Args:
        name, options: as in `medssm.models.create_model`: num_classes, in_channels, dropout_rate, features_only.
        pretrained: True fetches the published weights; or the path of a file or run folder. The head starts afresh
            if the number of classes is another one.

    Raises: UsageError on an unknown name; CheckpointError if the weights cannot be had or do not fit.
    """
    model = models.create_model(name, **options)
    if pretrained is False:
        return model
    path = fetch_published(name) if pretrained is True else Path(pretrained)
    state, metadata = load_weights(path)
    _check_same_network(name, path, metadata, options.get("in_channels"))
    info = models.model_info(name)
    own = model.state_dict()
    if metadata.num_classes != (options.get("num_classes") or info.num_classes):
        head = info.head_entry.split(".", 1)[0]
        state = {entry: tensor for entry, tensor in state.items() if not entry.startswith(f"{head}.")}
    model.load_state_dict({entry: tensor for entry, tensor in state.items() if entry in own}, strict=False)
    return model


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


def nearest_model(file: WeightsFile) -> Fit | None:
    """A file's tensors beside the model that it names, or else the one that they come nearest to.

    Raises: CheckpointError if it names a model that is not known here.
    """
    if file.metadata is None:
        return recognise(file.state)
    if file.metadata.model not in models.list_models():
        raise CheckpointError(
            f"{file.path}: holds weights of {file.metadata.model!r}, which is no model here; upgrade medssm"
        )
    return fit_to(file.metadata.model, file.state, file.metadata.in_channels, file.metadata.num_classes)


def published_metadata(fit: Fit, path: Path) -> WeightsMetadata:
    """What is known of weights that say nothing of themselves: what their model was published with."""
    info = models.model_info(fit.model)
    is_btcv = fit.num_classes == len(BTCV_ORGANS) + 1
    numbered = {label: f"class {label}" for label in range(1, fit.num_classes)}
    return WeightsMetadata(
        model=fit.model,
        num_classes=fit.num_classes,
        in_channels=fit.in_channels,
        class_names=BTCV_ORGANS if is_btcv else numbered,
        preprocessing=Preprocessing(spacing=info.spacing).model_dump(mode="json"),
        input_size=info.input_size,
        flips={} if info.is_ours else dict.fromkeys("xyz", "as-published"),
        licence=info.weights.licence if info.weights else "",
        source=f"{info.weights.repository} ({path.name})" if info.weights else path.name,
    )


def explain_misfit(file: WeightsFile, fit: Fit | None) -> str:
    """The sentence for a state dict that is no model's, or not quite."""
    if fit is None:
        example = next(iter(expected_shapes("mamband-s", 1, 14)))
        return (
            f"{file.path}: holds {len(file.state)} tensors ({first_names(list(file.state))}), which are those of no "
            f"model here; a Mamba-ND file has {example} and others (`medssm models` lists the models)"
        )
    faults = [
        f"{len(names)} entries {fault} ({first_names(names)})"
        for fault, names in (("missing", fit.missing), ("too many", fit.extra), ("of another shape", fit.reshaped))
        if names
    ]
    expected = len(expected_shapes(*fit.network))
    return f"{file.path}: expected the {expected} entries of {fit.model}, found {', '.join(faults)}"


def _own_copy(tensor: Tensor) -> Tensor:
    """A copy that outlives the file; published half-precision weights become float32, in which networks are built."""
    return tensor.to(torch.float32, copy=True) if tensor.is_floating_point() else tensor.clone()


def _check_same_network(name: str, path: Path, metadata: WeightsMetadata, in_channels: int | None) -> None:
    if metadata.model != name:
        raise CheckpointError(f"{path}: holds weights of {metadata.model}, not of {name}")
    wanted = in_channels or models.model_info(name).in_channels
    if metadata.in_channels != wanted:
        raise UsageError(f"{path}: the weights are for {metadata.in_channels} input channels, not for {wanted}")
