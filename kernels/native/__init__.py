"""The native kernels: a C library loaded with ctypes, its choice of instruction set, and torch's threads."""

from medssm.kernels.native.library import kernel, selected_isa, shares_threads, unavailable

__all__ = ["kernel", "selected_isa", "shares_threads", "unavailable"]
