"""PyTorch files read without running anything that they ask for.

Published files hold more than tensors: configuration nodes, history buffers, argument namespaces, numpy values. The
weights-only unpickler refuses such a file, and the ordinary one would run what is in it. So every class or function
that a file names is replaced by a stand-in that does nothing, and the weights-only unpickler reads the rest.
"""

import _compat_pickle
import errno
import pickle
import pickletools
import struct
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from medssm.errors import CheckpointError, one_line, quoted, reason_of

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


class NumberType:
    """Stands for a numpy type: remembers the code and the byte order, from which a plain number can be decoded.

    None of numpy's types is built: from an object type and raw bytes numpy makes a pointer of the file's choice.
    """

    def __init__(self, code: Any = "", *arguments: Any) -> None:
        self.code, self.order = str(code), ""

    def __setstate__(self, state: Any) -> None:
        """Keeps the byte order, which is the second entry of a numpy type's state."""
        self.order = str(state[1]) if isinstance(state, tuple) and len(state) > 1 else ""

    def number(self, content: Any) -> Any:
        """The Python number in these bytes; None if they are of no plain number."""
        layout = _NUMBERS.get(self.code)
        if layout is None or self.order not in ("<", "|") or not isinstance(content, bytes):
            return None
        return struct.unpack(layout, content)[0] if len(content) == struct.calcsize(layout) else None


# Codes of numpy's plain numbers, as `struct` writes them.
_NUMBERS = {
    f"{kind}{size}": f"<{code}"
    for kind, codes in {"i": "bhiq", "u": "BHIQ"}.items()
    for size, code in zip((1, 2, 4, 8), codes, strict=True)
}
_NUMBERS |= {"f2": "<e", "f4": "<f", "f8": "<d", "b1": "<?"}


def _number(kind: Any = None, content: Any = None, *_: Any) -> Any:
    """Takes the place of numpy's `scalar`."""
    return kind.number(content) if isinstance(kind, NumberType) else None


_SPECIAL: dict[str, Callable[..., Any]] = {
    "collections.deque": _empty_list,
    "functools.partial": OpaqueStandIn,
    "numpy.dtype": NumberType,
}
for _module in ("numpy.core.multiarray", "numpy._core.multiarray"):
    _SPECIAL[f"{_module}._reconstruct"] = OpaqueStandIn
    _SPECIAL[f"{_module}.scalar"] = _number

# What of torch's own a file may ask for, all of which makes tensors of bytes that the file holds, or plain values.
# Storages and types of numbers are added below by their kind.
_BUILDERS = frozenset(
    [
        "torch._utils._rebuild_tensor",  # a view of a storage: offset, sizes and strides are checked against it
        "torch._utils._rebuild_tensor_v2",
        "torch._utils._rebuild_parameter",  # a tensor that is marked as a parameter
        "torch._utils._rebuild_parameter_with_state",
        "torch.nn.parameter.Parameter",
        "torch.Size",  # numbers in a tuple
        "torch.device",  # a word and a number
        "collections.OrderedDict",
        "collections.Counter",
        "builtins.set",
        "builtins.complex",
        "_codecs.encode",  # how the second protocol of pickles writes bytes: text to bytes and nothing else
    ]
)
_LONGEST = 120  # letters of what torch says of a file
# So many times its own size may a file's tensors together take, as some share their storage.
_SHARED = 4


def load_torch_file(path: Path, *, is_mapped: bool = True) -> Any:
    """The object in a file of `torch.save`: containers, texts, numbers and tensors; empty stand-ins otherwise.

    A numpy scalar becomes a Python number, a numpy array a stand-in.

    Args:
        is_mapped: tensors are mapped from the file, not copied.

    Raises: CheckpointError on a damaged file, one that claims more than it holds, or one that asks for something that
        runs code; nothing of it has run then.
    """
    try:
        asked = _check_archive(path)
        foreign = torch.serialization.get_unsafe_globals_in_checkpoint(str(path))
        _refuse_forbidden(path, [*foreign, *(asked - set(foreign))], known=frozenset(foreign) | _BUILDERS)
        with torch.serialization.safe_globals(_stand_ins(foreign)), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True, mmap=is_mapped)
    except _UNREADABLE as error:
        raise CheckpointError(f"{path}: not a readable PyTorch file ({_reason(error)})") from error
    except OSError as error:
        if error.errno != errno.EINVAL:  # which a forged directory causes, as it points before the file's beginning
            raise
        raise CheckpointError(f"{path}: not a readable PyTorch file (its directory is damaged)") from error


def _reason(error: Exception) -> str:
    """What is wrong with a file, without torch's advice to load it in a way that runs code."""
    said, _, reason = str(error).partition("WeightsUnpickler error: ")
    if not said.startswith("Weights only load failed"):
        return reason_of(error, _LONGEST)
    return one_line(reason.strip().splitlines()[0], _LONGEST) if reason.strip() else "its pickle is damaged"


def check_backed(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Raises CheckpointError if a state dict claims more values than its file has, by strides of 0 or shared bytes."""
    for name, tensor in tensors.items():
        if tensor.nbytes > tensor.untyped_storage().nbytes():
            raise CheckpointError(
                f"{path}: {one_line(name, 80)} claims {tensor.numel()} values, of which the file holds fewer; "
                "do not trust this file"
            )
    if sum(tensor.nbytes for tensor in tensors.values()) > _SHARED * path.stat().st_size:
        raise CheckpointError(f"{path}: its tensors claim more than {_SHARED} times its size; do not trust this file")


def _check_archive(path: Path) -> set[str]:
    """The names that the archive's pickles ask for.

    What the directory claims must be in the file, uncompressed as torch.save writes it, and with its own checksums.
    """
    size = path.stat().st_size
    with zipfile.ZipFile(path) as archive:
        records = archive.infolist()
        if any(record.compress_type != zipfile.ZIP_STORED for record in records):
            raise zipfile.BadZipFile("it holds compressed records, which torch.save does not write")
        if sum(record.file_size for record in records) > size:
            raise zipfile.BadZipFile("its records claim more bytes than the file has")
        if (damaged := archive.testzip()) is not None:
            raise zipfile.BadZipFile(
                f"{quoted(damaged)} has another checksum than when it was written; get the file again"
            )
        return {name for record in records if record.filename.endswith(".pkl") for name in _names(archive.read(record))}


def _names(content: bytes) -> Iterator[str]:
    """What a pickle asks for, as module.name by Python 3's names; nothing is built."""
    for opcode, argument, _ in pickletools.genops(content):
        if opcode.name == "GLOBAL":
            module, name = str(argument).split(" ", 1)
            module, name = _compat_pickle.NAME_MAPPING.get((module, name), (module, name))
            yield f"{_compat_pickle.IMPORT_MAPPING.get(module, module)}.{name}"


def _refuse_forbidden(path: Path, names: list[str], known: frozenset[str]) -> None:
    """Raises CheckpointError on what no weights need.

    Args:
        known: names that stand-ins take the place of, or that may be built; of the others only kinds of numbers and
            of storages may be asked for.
    """
    for name in sorted(names):
        is_forbidden = name in FORBIDDEN_NAMES or name.split(".", 1)[0] in FORBIDDEN_MODULES
        if is_forbidden or not (name in known or _is_kind_of_number(name)):
            raise CheckpointError(
                f"{path}: asks to call {one_line(name, 80)}, which no weights need; nothing was run, "
                "do not trust this file"
            )


def _is_kind_of_number(name: str) -> bool:
    """Whether a name is one of torch's types of numbers, such as torch.float32, or of its storages."""
    module, _, last = name.rpartition(".")
    kind = getattr(torch, last, None) if module in ("torch", "torch.storage") else None
    return isinstance(kind, torch.dtype) or (last.endswith("Storage") and module in ("torch", "torch.storage"))


def _stand_ins(names: list[str]) -> list[Any]:
    return [(_SPECIAL.get(name, StandIn), name) for name in names]
