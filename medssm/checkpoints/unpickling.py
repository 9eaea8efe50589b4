"""PyTorch files read without running anything that they ask for.

Published files hold more than tensors: configuration nodes, history buffers, argument namespaces, numpy values. The
weights-only unpickler refuses such a file, and the ordinary one would run what is in it. So every class or function
that a file names is replaced by a stand-in that does nothing, and the weights-only unpickler reads the rest.
"""

import pickle
import struct
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from medssm.errors import CheckpointError

# A weights file has no business with these. As stand-ins they would do no harm, but such a file is not to be trusted.
# `commands` is what the pickle format calls `subprocess`.
FORBIDDEN_MODULES = frozenset(
    ["commands", "ctypes", "importlib", "marshal", "nt", "os", "pickle", "posix", "pty", "runpy", "shutil", "socket"]
) | {"subprocess", "sys"}
FORBIDDEN_NAMES = frozenset(
    ["builtins.__import__", "builtins.compile", "builtins.eval", "builtins.exec", "builtins.input", "builtins.open"]
) | {"_io.open", "io.open"}

# What damaged or forged data makes the unpickler and the archive reader raise.
_UNREADABLE = (
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    struct.error,
    RuntimeError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    EOFError,
    AssertionError,
    MemoryError,
    OverflowError,
    NotImplementedError,
)


class StandIn:
    """Makes an empty ordered dictionary, whatever it is called with: the one type that takes both items and state."""

    def __new__(cls, *arguments: Any) -> Any:
        return OrderedDict()


class OpaqueStandIn:
    """For classes whose state is no dictionary."""

    def __new__(cls, *arguments: Any) -> "OpaqueStandIn":
        return super().__new__(cls)

    def __setstate__(self, state: Any) -> None:
        """The state is dropped."""


def _empty_list(*arguments: Any) -> list[Any]:
    return []


def _unfilled_array(*arguments: Any) -> np.ndarray:
    """Takes the place of numpy's `_reconstruct`, which would take memory for a size that the file merely claims."""
    return np.ndarray((0,), dtype=np.int8)


_SPECIAL: dict[str, Callable[..., Any]] = {
    "collections.deque": _empty_list,
    "functools.partial": OpaqueStandIn,
    "numpy.ndarray": np.ndarray,
    "numpy.dtype": np.dtype,
}
for _module in ("numpy.core.multiarray", "numpy._core.multiarray"):
    _SPECIAL[f"{_module}._reconstruct"] = _unfilled_array
    _SPECIAL[f"{_module}.scalar"] = np._core.multiarray.scalar  # type: ignore[attr-defined]
_NUMPY_TYPES = tuple({type(np.dtype(code)) for code in "?bhilqBHILQefdFDUSO"})


def load_torch_file(path: Path) -> Any:
    """The object in a file of `torch.save`: containers, numbers, numpy values and tensors; empty stand-ins otherwise.

    Tensors are mapped from the file, not copied.

    Raises: CheckpointError on a damaged file, one that claims more than it holds, or one that asks for something that
        runs code; nothing of it has run then.
    """
    try:
        _check_archive(path)
        names = torch.serialization.get_unsafe_globals_in_checkpoint(str(path))
        _refuse_forbidden(path, names)
        with torch.serialization.safe_globals(_stand_ins(names)), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except _UNREADABLE as error:
        raise CheckpointError(f"{path}: not a readable PyTorch file ({_reason(error)})") from error


def _check_archive(path: Path) -> None:
    """What the archive's directory claims must be in the file, uncompressed as torch.save writes it."""
    size = path.stat().st_size
    with zipfile.ZipFile(path) as archive:
        records = archive.infolist()
    if any(record.compress_type != zipfile.ZIP_STORED for record in records):
        raise zipfile.BadZipFile("it holds compressed records, which torch.save does not write")
    if sum(record.file_size for record in records) > size:
        raise zipfile.BadZipFile("its records claim more bytes than the file has")


def _refuse_forbidden(path: Path, names: list[str]) -> None:
    forbidden = sorted(name for name in names if name in FORBIDDEN_NAMES or name.split(".", 1)[0] in FORBIDDEN_MODULES)
    if forbidden:
        raise CheckpointError(
            f"{path}: asks to call {forbidden[0]}, which no weights need; nothing was run, do not trust this file"
        )


def _stand_ins(names: list[str]) -> list[Any]:
    numpy_types = [(kind, f"{kind.__module__}.{kind.__qualname__}") for kind in _NUMPY_TYPES]
    return [*numpy_types, *((_SPECIAL.get(name, StandIn), name) for name in names)]


def _reason(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
