"""One way in which all synthetic datasets are written where asked, or once to the user's cache."""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from medssm.data.progress import tracked
from medssm.errors import UsageError
from medssm.files import atomic_folder, cached_folder, refuse_full_folder

Job = TypeVar("Job")
Result = TypeVar("Result")

# Writes all files of a dataset into an empty folder.
Fill = Callable[[Path], None]


def write_new(folder: str | Path, fill: Fill) -> None:
    """Writes a dataset; the folder appears when all of it is written.

    Args:
        folder: absent, or empty.

    Raises: UsageError if the folder holds something.
    """
    refuse_full_folder(Path(folder))
    _write_whole(Path(folder), fill)


def write_cached(name: str, version: int, arguments: str, fill: Fill) -> Path:
    """The folder of a dataset in the user's cache, written at the first call with these arguments.

    Processes that start at once each write their own; the first one done is kept by all.

    Args:
        name: of the dataset.
        version: raised whenever the same arguments would give other files, so that no older ones are taken.
        arguments: all that the files depend on.
    """
    return cached_folder(name, f"v{version}-{arguments}", lambda folder: _write_whole(folder, fill))


def described(training: int, validation: int, seed: int) -> str:
    """The usual arguments, as the name of a folder has them."""
    return f"{training}-training-{validation}-validation-seed-{seed}"


def check_counts(training: int, validation: int, unit: str) -> None:
    """Raises UsageError if there would be nothing to train, or nothing to validate."""
    if training < 1 or validation < 1:
        raise UsageError(
            f"at least one {unit} to train and one to validate must be written, found {training} and {validation}"
        )


def in_threads(write: Callable[[Job], Result], jobs: Iterable[Job], description: str) -> list[Result]:
    """What `write` gives for each job, in order, with a bar; a few at a time, as drawing is mostly NumPy's."""
    jobs = list(jobs)
    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
        return list(tracked(pool.map(write, jobs), len(jobs), description))


def _write_whole(folder: Path, fill: Fill) -> None:
    with atomic_folder(folder) as temporary:
        fill(temporary)
