"""Our weights file: safetensors with a WeightsMetadata in its header."""

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from medssm.checkpoints.metadata import WeightsMetadata
from medssm.errors import CheckpointError, one_line, reason_of
from medssm.files import atomic_path
from medssm.models.variant import StateDict

HEADER_KEY = "medssm"


def save_weights(path: str | Path, model: nn.Module | Mapping[str, Tensor], metadata: WeightsMetadata) -> None:
    """Writes weights and what they are, whole or not at all.

    Args:
        model: the network, or its state dict.
        metadata: its `sha256` is replaced by that of the tensors.

    Raises: OSError of the file system, with an earlier file unharmed.
    """
    state = model.state_dict() if isinstance(model, nn.Module) else model
    tensors = _each_its_own({name: tensor.detach().cpu().contiguous() for name, tensor in state.items()})
    header = metadata.model_copy(update={"sha256": digest(tensors)}).model_dump_json()
    try:
        with atomic_path(path) as temporary:
            save_file(tensors, temporary, metadata={HEADER_KEY: header})
    except SafetensorError as error:
        number = re.search(r"os error (\d+)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from error


def _each_its_own(tensors: StateDict) -> StateDict:
    """The tensors, copied where a part of a network has two names, as MONAI's DynUNet gives its own: both are kept."""
    seen: set[int] = set()
    own = {}
    for name, tensor in tensors.items():
        place = tensor.untyped_storage().data_ptr()
        own[name] = tensor.clone() if place in seen else tensor
        seen.add(place)
    return own


def read_safetensors(path: Path) -> tuple[StateDict, WeightsMetadata | None]:
    """Tensors of a safetensors file, and its metadata if it is one of ours.

    The library compares the header with the length of the file before any tensor is made; the tensors may be mapped
    from the file.

    Raises: CheckpointError on a damaged file.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = (file.metadata() or {}).get(HEADER_KEY)
            metadata = None if header is None else WeightsMetadata.model_validate_json(header)
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise CheckpointError(
            f"{path}: not a whole safetensors file ({reason_of(error, 120)}); copy or download it again"
        ) from error
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"]))
        raise CheckpointError(
            f"{path}: the metadata in its header are wrong ({one_line(where, 60)}: {one_line(fault['msg'], 100)})"
        ) from error
    if metadata is not None and metadata.sha256 and metadata.sha256 != digest(state):
        raise CheckpointError(f"{path}: the tensors are not those that were written (SHA-256); copy it again")
    return state, metadata


def digest(state: Mapping[str, Tensor]) -> str:
    """SHA-256 of tensors in the order of their names, each with name, type, shape and bytes."""
    total = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name]
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        total.update(tensor.contiguous().flatten().view(torch.uint8).numpy().data)
    return total.hexdigest()
