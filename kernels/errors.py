"""The two exceptions of the kernels."""


class ShapeError(ValueError):
    """Arguments whose sizes or types do not agree; the message names them."""


class BackendError(RuntimeError):
    """No backend, or not the one that was asked for, can run; the message gives every reason."""
