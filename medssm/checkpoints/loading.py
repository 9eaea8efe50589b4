"""Weights from a run folder, our own file or a published one, and the networks they belong to."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from medssm import models
from medssm.checkpoints.hub import fetch_published
from medssm.checkpoints.metadata import WeightsMetadata
from medssm.checkpoints.published import WeightsFile, first_names, read_weights_file
from medssm.checkpoints.recognition import Fit, expected_shapes, fit_own, recognise
from medssm.data.organs import BTCV_ORGANS
from medssm.data.preprocessing import Preprocessing
from medssm.errors import CheckpointError, UsageError
from medssm.models.info import ModelInfo, StateDict, VolumeInput

BEST = "best.safetensors"


def load_weights(path: str | Path, model: str | None = None) -> tuple[StateDict, WeightsMetadata]:
    """State dict and metadata of a run folder, one of our files, or a published file of a known model.

    The entries are exactly those of the model that the metadata name, in its order. What a published file does not say
    (classes, preprocessing, licence) is taken from what its model was published with.

    Args:
        model: whose weights a published file holds, where several have the same entries; None to tell by them.

    Raises: CheckpointError if the file is damaged, foreign, or does not fit its model.
    """
    file = read_weights_file(find_weights(Path(path)))
    fit = nearest_model(file, model)
    if fit is None or fit.faults:
        raise CheckpointError(explain_misfit(file, fit))
    metadata = file.metadata or published_metadata(fit, file.path)
    return {name: _own_copy(fit.state[name]) for name in expected_shapes(*fit.network)}, metadata


def load_model(path: str | Path, model: str | None = None) -> tuple[nn.Module, WeightsMetadata]:
    """The network of a weights file in evaluation mode, with its metadata; the arguments are those of `load_weights`.

    Raises: CheckpointError if the file is damaged, foreign, or does not fit its model.
    """
    state, metadata = load_weights(path, model)
    with torch.device("meta"):
        network = models.create_model(
            metadata.model,
            num_classes=metadata.num_classes,
            in_channels=metadata.in_channels,
            input_size=_laid_out_for(metadata),
            head=metadata.head,
            head_settings=metadata.head_settings,
        )
    network.load_state_dict(state, assign=True)
    return network.eval(), metadata


def create_model(name: str, *, pretrained: bool | str | Path = False, **options: Any) -> nn.Module:
    """A network in training mode, with weights if asked for.

    Args:
        name, options: as in `medssm.models.create_model`: num_classes, in_channels, dropout_rate, drop_path_rate,
            input_size, features_only.
        pretrained: True fetches the published weights; or the path of a file or run folder. The last layer starts
            afresh if the number of classes is another one. A network for clips also takes the weights of the one for
            images that it starts from, and keeps fresh what that does not have.

    Raises: UsageError on an unknown name; CheckpointError if the weights cannot be had or do not fit.
    """
    model = models.create_model(name, **options)
    if pretrained is False:
        return model
    info = models.model_info(name)
    path = fetch_published(name) if pretrained is True else Path(pretrained)
    state = _inflated(info, path) if info.inflate else None
    if state is None:
        state = _fitting(info, path, options)
    own = model.state_dict()
    try:
        model.load_state_dict({entry: tensor for entry, tensor in state.items() if entry in own}, strict=False)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise CheckpointError(f"{path}: its weights do not fit {name} as it is asked for ({reason})") from error
    return model


def _inflated(info: ModelInfo, path: Path) -> StateDict | None:
    """Entries of a network for clips from a file of the one for images; None if the file is of another."""
    assert info.inflate is not None
    file = read_weights_file(find_weights(path))
    stem = file.state.get(info.stem_entry)
    return info.inflate(file.state) if stem is not None and stem.ndim == 4 else None


def _fitting(info: ModelInfo, path: Path, options: dict[str, Any]) -> StateDict:
    """Entries of a file for a network of these options, without its last layer if the classes are others."""
    state, metadata = load_weights(path, info.name)
    if metadata.model != info.name:
        raise CheckpointError(f"{path}: holds weights of {metadata.model}, not of {info.name}")
    in_channels = options.get("in_channels") or info.in_channels
    if metadata.in_channels != in_channels:
        raise UsageError(f"{path}: the weights are for {metadata.in_channels} input channels, not for {in_channels}")
    num_classes = options.get("num_classes") or info.num_classes
    wanted = expected_shapes(info.name, in_channels, num_classes)
    stored = expected_shapes(info.name, in_channels, metadata.num_classes)
    return {entry: tensor for entry, tensor in state.items() if wanted[entry] == stored[entry]}


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

    Raises: CheckpointError if the file names a model that is not known here.
    """
    if file.metadata is None:
        return recognise(file.state, models.model_info(model).name if model else None)
    if file.metadata.model not in models.list_models():
        raise CheckpointError(
            f"{file.path}: holds weights of {file.metadata.model!r}, which is no model here; upgrade medssm"
        )
    metadata = file.metadata
    return fit_own((metadata.model, metadata.in_channels, metadata.num_classes, _laid_out_for(metadata)), file.state)


def _laid_out_for(metadata: WeightsMetadata) -> tuple[int, ...] | None:
    """The size that a network's positions and windows are for. Volumes are cut into crops of any size."""
    is_volume = models.model_info(metadata.model).task == "segmentation"
    return None if is_volume else metadata.input_size


def published_metadata(fit: Fit, path: Path) -> WeightsMetadata:
    """What is known of weights that say nothing of themselves: what their model was published with."""
    info = models.model_info(fit.model)
    is_volume = isinstance(info.input, VolumeInput)
    return WeightsMetadata(
        model=fit.model,
        num_classes=fit.num_classes,
        in_channels=fit.in_channels,
        class_names=_class_names(info, fit.num_classes),
        preprocessing=Preprocessing(spacing=info.spacing).model_dump(mode="json") if is_volume else asdict(info.input),
        input_size=info.input_size,
        flips=dict.fromkeys("xyz", "as-published") if is_volume and not info.is_ours else {},
        licence=info.weights.licence if info.weights else "",
        source=f"{info.weights.repository or info.weights.page} ({path.name})" if info.weights else path.name,
    )


def _class_names(info: ModelInfo, num_classes: int) -> dict[int, str]:
    """Names of the classes that a published network of so many outputs was trained on, where they are known."""
    if info.task == "segmentation":
        numbered = {label: f"class {label}" for label in range(1, num_classes)}
        return BTCV_ORGANS if num_classes == len(BTCV_ORGANS) + 1 else numbered
    if info.task == "classification" and num_classes == info.num_classes:
        from timm.data import ImageNetInfo  # takes a second to import

        imagenet = ImageNetInfo()
        return {index: imagenet.index_to_description(index) for index in range(num_classes)}
    return {}


def explain_misfit(file: WeightsFile, fit: Fit | None) -> str:
    """The sentence for a state dict that is no model's, or not quite."""
    if fit is None:
        systems = list(dict.fromkeys(models.model_info(name).system for name in models.list_models()))
        return (
            f"{file.path}: expected a network of {', '.join(systems[:-1])} or {systems[-1]}, found {len(file.state)} "
            f"tensors that are those of no model here ({first_names(list(file.state))})"
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
