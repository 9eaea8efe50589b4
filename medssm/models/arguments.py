"""Arguments by which a network differs from its variant: plain values by name, kept in its recipe and its weights."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from medssm.errors import UsageError, quoted

Arguments = Mapping[str, Any]
# What a network takes for a value that was given; raises ValueError with what it must be.
Check = Callable[[Any], Any]
# All of the arguments, of those that are given, the window in voxels and the sides of a voxel in mm, axis by axis.
Plan = Callable[[Arguments, tuple[int, ...], tuple[float, ...]], dict[str, Any]]

# Networks are laid out by these values before any tensor is looked at, and files may hold anything.
_LARGEST, _LONGEST, _DEEPEST = 10_000, 64, 4


def plain(value: Any, depth: int = 0) -> Any:
    """A value that JSON and YAML hold alike, with tuples for lists.

    Raises: ValueError on what is none, or too large for an argument of any network.

    >>> plain([4, [16, 16]])
    (4, (16, 16))
    """
    if value is None or isinstance(value, bool) or (isinstance(value, str) and len(value) <= _LONGEST):
        return value
    if isinstance(value, int | float) and abs(value) <= _LARGEST:
        return value
    if isinstance(value, list | tuple | dict) and len(value) <= _LONGEST and depth < _DEEPEST:
        if isinstance(value, dict):
            return {str(key)[:_LONGEST]: plain(item, depth + 1) for key, item in value.items()}
        return tuple(plain(item, depth + 1) for item in value)
    raise ValueError(f"a number of at most {_LARGEST}, a word, a list or a mapping of these")


def plain_arguments(arguments: Arguments) -> dict[str, Any]:
    """Arguments of any network as plain values. Raises: ValueError on other ones."""
    return {name: plain(value) for name, value in arguments.items()}


def checked_arguments(model: str, accepted: Mapping[str, Check], given: Arguments) -> dict[str, Any]:
    """The arguments as the network of a model takes them.

    Args:
        accepted: what they may be called, each with its check.

    Raises: UsageError on one that the model does not have, or an impossible value.
    """
    checked = {}
    for name, value in given.items():
        if name not in accepted:
            raise UsageError(f"{model}: model.arguments: there is no {quoted(name)}; {_known(accepted)}")
        try:
            checked[name] = accepted[name](value)
        except ValueError as error:
            raise UsageError(f"{model}: model.arguments.{name} must be {error}, found {quoted(value)}") from error
    return checked


def _known(accepted: Mapping[str, Check]) -> str:
    return f"it takes {', '.join(accepted)}" if accepted else "this model takes none"


def frozen_arguments(arguments: Arguments) -> str:
    """The arguments as a key that can be compared; `json.loads` reads it."""
    return json.dumps(dict(arguments), sort_keys=True)


def patch_sides(value: Any, *, least: int, most: int) -> tuple[int, ...]:
    """Sides (D, H, W) of a patch: powers of two, the longest at least `least` and at most `most`.

    Raises: ValueError with what they must be.
    """
    sides = value if isinstance(value, list | tuple) else ()
    is_whole = all(isinstance(side, int) and not isinstance(side, bool) and side > 0 for side in sides)
    if len(sides) != 3 or not is_whole or any(side & (side - 1) for side in sides) or not least <= max(sides) <= most:
        raise ValueError(
            f"three powers of two (D, H, W), the largest from {least} to {most}, such as [{most}, {most}, {most // 4}]"
        )
    return tuple(sides)
