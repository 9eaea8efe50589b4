"""Settings of a head, by name, that are not the published ones."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

from medssm.errors import UsageError, quoted

Settings = TypeVar("Settings")
_LARGEST = 1_000_000


def adjusted(settings: Settings, changes: Mapping[str, int | float]) -> Settings:
    """The settings with other numbers, for a head that is smaller or for smaller images than the published ones.

    Args:
        changes: by name, such as "neck_channels", or "roi_sampling.count" for a number within a section.

    Raises: UsageError on a name that is unknown or stands for no number, or a number that is none of its kind.
    """
    for key, value in changes.items():
        settings = _with_number(settings, key, key.split("."), value)
    return settings


def _with_number(section: Any, key: str, path: list[str], value: int | float) -> Any:
    name, *rest = path
    known = [field.name for field in fields(section)]
    if name not in known:
        raise UsageError(f"head_settings: there is no {quoted(key)}; at this place there are {', '.join(known)}")
    old = getattr(section, name)
    if rest and is_dataclass(old):
        return replace(section, **{name: _with_number(old, key, rest, value)})
    kinds = (int,) if isinstance(old, int) else (int, float)
    if rest or not isinstance(old, (int, float)) or isinstance(old, bool):
        raise UsageError(f"head_settings: {quoted(key)} is no single number; leave it out")
    if not isinstance(value, kinds) or isinstance(value, bool) or not 0 <= value <= _LARGEST:
        what = "whole number" if kinds == (int,) else "number"
        raise UsageError(
            f"head_settings: {key} must be a {what} of 0 or more, found {quoted(value)}; the most is {_LARGEST}"
        )
    return replace(section, **{name: value})
