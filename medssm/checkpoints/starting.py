"""Networks that training starts from, with the weights of another one where asked for."""

import json
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

from torch import nn

from medssm import models
from medssm.checkpoints.hub import fetch_published
from medssm.checkpoints.loading import explain_misfit, find_weights, load_weights, nearest_model
from medssm.checkpoints.published import first_names, read_weights_file
from medssm.checkpoints.recognition import Fit, expected_shapes
from medssm.errors import CheckpointError, UsageError, one_line
from medssm.models.arguments import Arguments, frozen_arguments, plain_arguments
from medssm.models.info import ModelInfo
from medssm.models.variant import StateDict

BACKBONE = "backbone."


def create_model(name: str, *, pretrained: bool | str | Path = False, **options: Any) -> nn.Module:
    """A network in training mode, with weights if asked for.

    A detector or a segmenter (`head`) takes the backbone of a classifier's file, the plain weights where it holds
    averaged ones too, as the published ones were started; what then stays fresh is said on the standard error. Or it
    takes all of a file of its own kind.

    Args:
        name, options: as in `medssm.models.fresh_model`: num_classes, in_channels, dropout_rate, drop_path_rate,
            input_size, features_only, head, head_settings, arguments.
        pretrained: True fetches the published weights, with a head the classifier's; or the path of a file or run
            folder. The last layer starts afresh if the number of classes is another one. A network for clips also takes
            the weights of the one for images that it starts from, and keeps fresh what that does not have.

    Raises: UsageError on an unknown name; CheckpointError if the weights cannot be had or do not fit, or if some of a
        backbone's are not there.
    """
    model = models.fresh_model(name, **options)
    if pretrained is False:
        return model
    info = models.model_info(name)
    path = fetch_published(name) if pretrained is True else Path(pretrained)
    state = _inflated(info, path)
    if state is None:
        start = _under_head if options.get("head") else _fitting
        state = start(info, path, options)
    own = model.state_dict()
    state = {entry: tensor for entry, tensor in state.items() if entry in own}
    try:
        model.load_state_dict(state, strict=False)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise CheckpointError(f"{path}: its weights do not fit {name} as it is asked for ({reason})") from error
    fresh = [entry for entry in own if entry not in state]
    if options.get("head") and fresh:
        print(f"{path}: {name} starts from it; fresh are {', '.join(_whole_parts(fresh, own))}", file=sys.stderr)
    return model


def _inflated(info: ModelInfo, path: Path) -> StateDict | None:
    """Entries of a network for clips from a file of the one for images; None if either is another."""
    inflate = info.variant().inflate
    if inflate is None:
        return None
    file = read_weights_file(find_weights(path))
    stem = file.state.get(info.stem_entry)
    return inflate(file.state) if stem is not None and stem.ndim == 4 else None


def _fitting(info: ModelInfo, path: Path, options: dict[str, Any]) -> StateDict:
    """Entries of a file for a network of these options, without its last layer if the classes are others."""
    state, metadata = load_weights(path, info.name)
    arguments = _checked_model(info, path, metadata.model, metadata.in_channels, metadata.arguments, options)
    num_classes = options.get("num_classes")
    num_classes = info.num_classes if num_classes is None else num_classes
    wanted = expected_shapes(info.name, metadata.in_channels, num_classes, arguments=arguments)
    stored = expected_shapes(info.name, metadata.in_channels, metadata.num_classes, arguments=arguments)
    return {entry: tensor for entry, tensor in state.items() if wanted.get(entry) == stored[entry]}


def _under_head(info: ModelInfo, path: Path, options: dict[str, Any]) -> StateDict:
    """Entries of a file for a detector or a segmenter: those of the same network, or else those of its backbone."""
    file = read_weights_file(find_weights(path), averaged=False)
    fit = nearest_model(file, info.name)
    if fit is None:
        raise CheckpointError(explain_misfit(file, fit))
    arguments = _checked_model(info, path, fit.model, fit.in_channels, json.loads(fit.arguments), options)
    head = models.head_info(options["head"])
    num_classes = options.get("num_classes") or head.num_classes
    settings = tuple((options.get("head_settings") or {}).items())
    wanted = expected_shapes(info.name, fit.in_channels, num_classes, None, head.name, settings, arguments)
    if fit.head != head.name:
        return _backbone(info, path, fit, wanted)
    if fit.faults:
        raise CheckpointError(explain_misfit(file, fit))
    stored = expected_shapes(*fit.network)
    return {
        entry: t for entry, t in fit.state.items() if entry.startswith(BACKBONE) or wanted.get(entry) == stored[entry]
    }


def _backbone(info: ModelInfo, path: Path, fit: Fit, wanted: Collection[str]) -> StateDict:
    """Entries of the backbone alone, out of a classifier or of a network with another head.

    Raises: CheckpointError if one is missing that a classifier has; dense backbones have norms that it does not.
    """
    state = fit.state if fit.head else {info.backbone_entry(entry): tensor for entry, tensor in fit.state.items()}
    classifier = expected_shapes(info.name, fit.in_channels, info.num_classes, arguments=fit.arguments)
    needed = {info.backbone_entry(entry) for entry in classifier}
    missing = [entry for entry in wanted if entry in needed and entry not in state]
    if missing:
        raise CheckpointError(
            f"{path}: not the whole backbone of {info.name}, {len(missing)} entries are missing "
            f"({first_names(missing)}); give a file of the whole classifier"
        )
    return {entry: tensor for entry, tensor in state.items() if entry.startswith(BACKBONE)}


def _checked_model(
    info: ModelInfo, path: Path, model: str, in_channels: int, arguments: Arguments, options: dict[str, Any]
) -> str:
    """The arguments of the network, frozen, which are those of the file."""
    if model != info.name:
        raise CheckpointError(f"{path}: holds weights of {model}, not of {info.name}")
    wanted = options.get("in_channels") or info.in_channels
    if in_channels != wanted:
        raise UsageError(f"{path}: the weights are for {in_channels} input channels, not for {wanted}")
    theirs, ours = (frozen_arguments(plain_arguments(each)) for each in (arguments, options.get("arguments") or {}))
    if theirs != ours:
        found, asked = (one_line(each, 80) for each in (theirs, ours))
        raise UsageError(
            f"{path}: holds weights of {info.name} with model.arguments {found}, not {asked}; train with those, or "
            "start from other weights"
        )
    return ours


def _whole_parts(entries: Collection[str], every: Collection[str]) -> list[str]:
    """Names of the largest parts of a network that hold no other entries than these."""
    others = {name for name in every if name not in set(entries)}
    parts: dict[str, None] = {}
    for entry in entries:
        pieces = entry.split(".")
        prefixes = [".".join(pieces[:end]) for end in range(1, len(pieces))]
        part = next((p for p in prefixes if not any(name.startswith(f"{p}.") for name in others)), entry)
        parts[part] = None
    return list(parts)
