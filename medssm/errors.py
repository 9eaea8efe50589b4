"""The exceptions a user can cause. Each message is one sentence: what is wrong, where, and what to do."""

from pathlib import Path

LONGEST = 300  # letters of a text that is not ours


class MedssmError(Exception):
    """A failed run: the command line prints the message and exits with 1.

    Names out of files stand in messages, so that what a terminal would act on is escaped: one line that can be shown.
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class UsageError(MedssmError):
    """A wrong argument, option or recipe key: exit code 2."""


class DataError(MedssmError):
    """A scan, label map or dataset that cannot be used as it is."""


class GeometryError(DataError):
    """Shape, affine, spacing or orientation that is impossible or does not agree with its partner."""


class CheckpointError(MedssmError):
    """A weights file that is damaged, foreign, or not of the model that was asked for."""


def one_line(text: str, longest: int = LONGEST) -> str:
    """The text in one line without control characters, cut where it is longer.

    >>> one_line("no such\\n\\nlayer\\x1b[2J")
    'no such; layer\\\\x1b[2J'
    """
    shown = printable(text)
    return shown if len(shown) <= longest else f"{shown[: longest - 1]}…"


def printable(text: str) -> str:
    """The text in one line, with what cannot be printed escaped."""
    joined = text if text.isprintable() else "; ".join(line.strip() for line in text.splitlines() if line.strip())
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in joined)


def without_path(path: Path, message: object) -> str:
    """What is said of a file, without the path that an error or a note begins with.

    >>> without_path(Path("a.nii"), "a.nii: is cut off")
    'is cut off'
    """
    return str(message).removeprefix(f"{path}: ")


def quoted(value: object, longest: int = 60) -> str:
    """A value that a user or a file gave, as it stands in a sentence: in quotes, in one line, and not at length.

    >>> quoted("4G\\n"), quoted("a" * 9, 8)
    ("'4G\\\\n'", "'aaaaaa…")
    """
    return one_line(repr(value), longest)


def reason_of(error: BaseException, longest: int = 200) -> str:
    """The first line of what a library says, or the kind of its error where it says nothing."""
    return one_line((str(error).strip() or type(error).__name__).splitlines()[0], longest)
