"""Weights files that others wrote: PyTorch or safetensors, with whatever they wrapped around the tensors."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from medssm.checkpoints.metadata import WeightsMetadata
from medssm.checkpoints.mistaken import mistaken_for_weights
from medssm.checkpoints.own_format import read_safetensors
from medssm.errors import CheckpointError, one_line
from medssm.models.variant import StateDict
from medssm.torch_files import check_backed, load_torch_file

# Where training programs put the state dict, in the order of looking. `state_dict_ema` (timm) and `model_ema` hold
# averaged weights, for which published accuracies stand where there are both; detectors and segmenters were started
# from the plain ones.
STATE_KEYS = ("state_dict_ema", "model_ema", "state_dict", "model", "module")
PLAIN_FIRST = ("state_dict", "model", "state_dict_ema", "model_ema", "module")
# Wrappers of data-parallel training and of torch.compile.
WRAPPERS = ("module.", "_orig_mod.")
_LONGEST_NAME = 40  # letters of a tensor's name in a sentence


@dataclass(frozen=True)
class WeightsFile:
    """The tensors of a file under their own names without wrappers, and what else it says.

    Attributes:
        notes: single numbers and words beside the tensors, such as the epoch.
        metadata: of our own files.
    """

    path: Path
    format: str
    state: StateDict
    notes: dict[str, Any]
    metadata: WeightsMetadata | None = None


def read_weights_file(path: Path, *, averaged: bool = True) -> WeightsFile:
    """Reads a file of either format, chosen by its first bytes.

    Args:
        averaged: of a file with plain and averaged weights the averaged ones are wanted.

    Raises: CheckpointError on a file that is neither, damaged, without tensors or not to be trusted;
        FileNotFoundError.
    """
    if not path.stat().st_size:
        raise CheckpointError(f"{path}: the file is empty; copy or download it again")
    if mistaken := mistaken_for_weights(path):
        raise CheckpointError(f"{path}: neither safetensors nor a PyTorch file of version 1.6 or newer, but {mistaken}")
    with open(path, "rb") as file:
        is_archive = file.read(2) == b"PK"
    if is_archive:
        return _read_torch(path, STATE_KEYS if averaged else PLAIN_FIRST)
    state, metadata = read_safetensors(path)
    return WeightsFile(path, "safetensors", _unwrapped(path, state), {}, metadata)


def _read_torch(path: Path, keys: Sequence[str]) -> WeightsFile:
    content = load_torch_file(path)
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: holds a {type(content).__name__} where a dictionary of tensors was expected")
    found = next((content[key] for key in keys if isinstance(content.get(key), dict)), content)
    notes = {key: value for key in content if (value := _plain(content[key])) is not None}
    return WeightsFile(path, "PyTorch", _unwrapped(path, found), notes)


def _unwrapped(path: Path, entries: dict[str, Any]) -> StateDict:
    state = {_without_wrappers(str(name)): value for name, value in entries.items() if _is_dense(value)}
    if not state:
        raise CheckpointError(
            f"{path}: holds no state dict (looked under {', '.join(STATE_KEYS)} and in the file itself); "
            f"it has {first_names(list(map(str, entries)))}"
        )
    check_backed(path, state)
    return state


def _is_dense(value: Any) -> bool:
    return isinstance(value, Tensor) and value.layout is torch.strided and value.device.type == "cpu"


def _without_wrappers(name: str) -> str:
    while name.startswith(WRAPPERS):
        name = name.split(".", 1)[1]
    return name


def _plain(value: Any) -> Any:
    return value if isinstance(value, bool | int | float | str) else None


def first_names(names: Sequence[str], count: int = 3) -> str:
    """The first few names, and how many more there are."""
    shown = ", ".join(one_line(name, _LONGEST_NAME) for name in names[:count]) or "nothing"
    return shown if len(names) <= count else f"{shown} and {len(names) - count} more"
