"""Large JSON files, an entry at a time: COCO's 450 MB as one tree of objects would take several GB."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from medssm.errors import DataError

_SEPARATORS = re.compile(r"[\s,:]*")


def json_entries(path: str | Path) -> Iterator[tuple[str, Any]]:
    """(key, entry) for every entry of every list of the object that a file holds; (key, value) for all else in it.

    Raises: DataError if the file cannot be read, or is no JSON object.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise DataError(f"{path}: there is no such file; correct the path") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is no text in UTF-8; write it anew, or get the file again") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); get the file again") from error
    try:
        yield from _entries(text)
    except json.JSONDecodeError as error:
        message = f"{path}: is no JSON or is cut off, at character {error.pos} ({error.msg}); get the file again"
        raise DataError(message) from error
    except ValueError as error:  # as Python refuses numbers of thousands of digits
        raise DataError(f"{path}: holds a number of thousands of digits; correct it") from error
    except RecursionError as error:
        raise DataError(f"{path}: holds lists in lists without end; get the file again") from error


def _entries(text: str) -> Iterator[tuple[str, Any]]:
    decode = json.JSONDecoder().raw_decode
    place = _opened(text)
    while not text.startswith("}", place):
        key, end = decode(text, place)
        if not isinstance(key, str):
            raise json.JSONDecodeError("Expecting a name", text, place)
        place = _next(text, end)
        if text.startswith("[", place):
            place = _next(text, place + 1)
            while not text.startswith("]", place):
                entry, place = decode(text, place)
                yield key, entry
                place = _next(text, place)
            place = _next(text, place + 1)
        else:
            value, place = decode(text, place)
            yield key, value
            place = _next(text, place)
    if (rest := _next(text, place + 1)) < len(text):
        raise json.JSONDecodeError("Extra data", text, rest)


def _opened(text: str) -> int:
    """The place of what follows the first bracket."""
    place = _next(text, 0)
    if not text.startswith("{", place):
        raise json.JSONDecodeError("Expecting '{'", text, place)
    return _next(text, place + 1)


def _next(text: str, place: int) -> int:
    """The place of what follows the separators at a place."""
    found = _SEPARATORS.match(text, place)
    assert found is not None  # it matches nothing too
    return found.end()
