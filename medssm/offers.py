"""What other installed packages offer by entry points: networks, layouts of datasets and formats of scans.

A package is imported when something of it is asked for, and one that is broken is said in a sentence.
"""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, TypeVar

from medssm.errors import MedssmError, UsageError, quoted, reason_of

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

MODELS, LAYOUTS, FORMATS = "medssm.models", "medssm.layouts", "medssm.formats"

Kind = TypeVar("Kind")


def offered_names(group: str) -> list[str]:
    """What is offered in a group, by name, without importing anything of it."""
    return list(_entries(group))


def offered(group: str, name: str, kind: type[Kind]) -> Kind:
    """What a package offers by a name of `offered_names`.

    Raises: UsageError if several packages offer it, if it cannot be imported, or if it is of another kind.
    """
    entry, *others = _entries(group)[name]
    if others:
        packages = " and ".join(_package(each) for each in (entry, *others))
        raise UsageError(f"{quoted(name)} is offered by {packages}; uninstall one of them")
    with code_of_others(group, name):
        found = entry.load()
    if not isinstance(found, kind):
        raise UsageError(
            f"{quoted(name)}, which the package {_package(entry)} offers by {entry.value}, is of the type "
            f"{type(found).__name__} and no {kind.__name__}; tell its authors"
        )
    return found


@contextmanager
def code_of_others(group: str, name: str) -> Iterator[None]:
    """Within it what the code of a package raises, which may be anything, is a UsageError that names the package."""
    try:
        yield
    except MedssmError:
        raise
    except Exception as error:
        entry = _entries(group)[name][0]
        raise UsageError(
            f"{quoted(name)}, which the package {_package(entry)} offers by {entry.value}, does not load "
            f"({type(error).__name__}: {reason_of(error, 120)}); repair or uninstall that package"
        ) from error


@cache
def every_offered(group: str, kind: type[Kind]) -> dict[str, Kind]:
    """All that is offered in a group and loads, by name; of the others the standard error tells, once."""
    found = {}
    for name in offered_names(group):
        try:
            found[name] = offered(group, name, kind)
        except UsageError as error:
            print(error, file=sys.stderr)
    return found


@cache
def _entries(group: str) -> "Mapping[str, list[EntryPoint]]":
    from importlib.metadata import entry_points  # takes a while, and most commands need nothing of others

    entries: dict[str, list[EntryPoint]] = {}
    for entry in entry_points(group=group):
        entries.setdefault(entry.name, []).append(entry)
    return entries


def _package(entry: "EntryPoint") -> str:
    return entry.dist.name if entry.dist else entry.module
