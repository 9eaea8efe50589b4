"""Loads the native library and hands out its kernels.

A kernel is a C function of one pointer to a struct of 8-byte fields. Callers pack that struct with `struct.pack`,
which costs a microsecond where filling a ctypes.Structure costs six, and pass the bytes; the library says how many.
"""

import ctypes
import os
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import torch

from medssm.kernels.errors import BackendError

SUFFIX = {"darwin": ".dylib", "win32": ".dll"}.get(sys.platform, ".so")
LIBRARY = Path(__file__).with_name("libmedssm" + SUFFIX)
ISA_VARIABLE = "MEDSSM_ISA"
CPU = torch.device("cpu")
REINSTALL = "it was built from other sources: reinstall medssm"
OPENMP_ENTRIES = ("GOMP_parallel", "omp_get_thread_num", "omp_get_num_threads")


@cache
def unavailable(device: torch.device = CPU) -> str | None:
    """Why the native kernels cannot run here on a device, as one sentence; None if they can."""
    if device.type != "cpu":
        return "the native kernels run on the CPU only"
    try:
        _load()
    except BackendError as error:
        return str(error)
    return None


@cache
def kernel(name: str) -> Callable[[bytes], None]:
    """The kernel of this name; call it with its packed arguments. It runs without Python's lock.

    Raises: BackendError if the native library cannot be loaded, lacks the kernel, or means another struct of arguments;
        the last at the call.
    """
    library = _load()[0]
    try:
        function, size = getattr(library, f"medssm_{name}"), getattr(library, f"medssm_{name}_bytes")
    except AttributeError as error:
        raise BackendError(f"the native library has no kernel {name} of this medssm; {REINSTALL}") from error
    function.argtypes, function.restype = [ctypes.c_char_p], None
    size.restype = ctypes.c_int64
    expected = size()

    def run(arguments: bytes) -> None:
        if len(arguments) != expected:
            raise BackendError(
                f"the native library's kernel {name} takes {expected} bytes of arguments, this medssm packs "
                f"{len(arguments)}; {REINSTALL}"
            )
        function(arguments)

    return run


def selected_isa() -> str:
    """The instruction set in use: "avx512", "avx2", "neon" or "baseline"; MEDSSM_ISA forces one.

    Raises: BackendError if the native library cannot be loaded.
    """
    return _load()[1]


def shares_threads() -> bool:
    """Whether the kernels run on torch's own pool of threads; if not they run on one thread, never on a second pool."""
    return _load()[2]


@cache
def _load() -> tuple[ctypes.CDLL, str, bool]:
    """The library, the name of the instruction set selected, and whether it got torch's threads."""
    if not LIBRARY.exists():
        raise BackendError(
            f"the native library {LIBRARY.name} was not built when medssm was installed; "
            "install a C++ compiler (g++ or clang++) and reinstall medssm"
        )
    try:
        library = ctypes.CDLL(str(LIBRARY))
    except OSError as error:
        raise BackendError(f"the native library cannot be loaded: {error}; reinstall medssm on this machine") from error
    library.medssm_select.argtypes = [ctypes.c_char_p]
    library.medssm_select.restype = ctypes.c_char_p
    return library, _select(library), _share_threads(library)


def _select(library: ctypes.CDLL) -> str:
    wanted = os.environ.get(ISA_VARIABLE) or None
    selected = library.medssm_select(wanted.encode() if wanted else None)
    if selected is None:
        raise BackendError(f"{ISA_VARIABLE}={wanted}: not an instruction set that was built and runs here; unset it")
    return selected.decode()


def _share_threads(library: ctypes.CDLL) -> bool:
    """Gives the library the OpenMP functions that torch itself calls, whatever its wheel named that runtime.

    Looking a symbol up through the handle of torch's extension module searches exactly the libraries that it loaded.
    """
    try:
        torch_library = ctypes.CDLL(torch._C.__file__)
        entries = [ctypes.cast(getattr(torch_library, name), ctypes.c_void_p) for name in OPENMP_ENTRIES]
    except (OSError, AttributeError):
        return False
    library.medssm_use_openmp.argtypes = [ctypes.c_void_p] * len(entries)
    library.medssm_use_openmp.restype = None
    library.medssm_use_openmp(*entries)
    return True
