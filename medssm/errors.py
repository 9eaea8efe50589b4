"""The exceptions a user can cause. Each message is one sentence: what is wrong, where, and what to do."""


class MedssmError(Exception):
    """A failed run: the command line prints the message and exits with 1."""


class UsageError(MedssmError):
    """A wrong argument, option or recipe key: exit code 2."""


class DataError(MedssmError):
    """A scan, label map or dataset that cannot be used as it is."""


class GeometryError(DataError):
    """Shape, affine, spacing or orientation that is impossible or does not agree with its partner."""


class CheckpointError(MedssmError):
    """A weights file that is damaged, foreign, or not of the model that was asked for."""
