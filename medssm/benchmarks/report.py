"""Reports of benchmarks as JSON, and tables as Markdown."""

from collections.abc import Iterable, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from medssm.benchmarks.machine import this_machine
from medssm.files import atomic_path, json_text


def write_json(path: str | Path, report: Any) -> None:
    """The report with all figures computed from it, and the machine with date and versions."""
    content = as_json(report)
    content = content if "machine" in content else {"machine": as_json(this_machine()), **content}
    with atomic_path(path) as temporary:
        temporary.write_text(json_text(content), encoding="utf-8")


def as_json(value: Any) -> Any:
    """A dataclass with its public properties, or a named tuple, as a dictionary; containers entry by entry."""
    if is_dataclass(value):
        names = [field.name for field in fields(value)]
        names += [name for name, member in vars(type(value)).items() if isinstance(member, property)]
        return {name: as_json(getattr(value, name)) for name in names}
    if hasattr(value, "_asdict"):
        return as_json(value._asdict())
    if isinstance(value, dict):
        return {str(key): as_json(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_json(entry) for entry in value]
    return value


def markdown_table(headings: Sequence[str], alignment: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; `alignment` has "---" for a column of words and "---:" for one of numbers."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (headings, alignment, *rows))


def or_dash(value: float | None, form: str) -> str:
    """A number in the given form, or a dash where there is none."""
    return "–" if value is None else f"{value:{form}}"
