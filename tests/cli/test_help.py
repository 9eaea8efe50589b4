"""What help and sentences tell a user to type is there: commands, options and keys of recipes."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from medssm.cli.main import COMMANDS, build_app
from medssm.recipes.loading import _keys
from medssm.tasks import TASKS

ROOT = Path(__file__).parents[2]


def commands(group: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    """Every command with the words by which it is called."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{above}{name} ")
        else:
            yield f"{above}{name}", command


@pytest.fixture(scope="module")
def known() -> dict[str, set[str]]:
    """The options of each command."""
    found = {
        name: {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        for name, command in commands(typer.main.get_command(build_app()))
    }
    assert {name.split()[0] for name in found} == set(COMMANDS)
    return found


def texts() -> Iterator[tuple[str, str]]:
    """The sources, without line breaks inside of a text, and the documentation."""
    for part in ("medssm", "kernels", "cli", "recipes", "data", "docs"):
        for path in (*(ROOT / part).rglob("*.py"), *(ROOT / part).rglob("*.md"), *(ROOT / part).rglob("*.yaml")):
            text = path.read_text(encoding="utf-8")
            yield str(path.relative_to(ROOT)), re.sub(r'"\n\s*f?"', "", text)
    yield "README.md", (ROOT / "README.md").read_text(encoding="utf-8")


def mentions(pattern: str, folder: str = "") -> set[tuple[str, str]]:
    """(file, what is mentioned) in all texts, or those of a folder."""
    return {(path, word) for path, text in texts() if path.startswith(folder) for word in re.findall(pattern, text)}


def test_every_option_that_is_mentioned_is_one_of_some_command(known: dict[str, set[str]]) -> None:
    options = set().union(*known.values()) | {"--debug", "--version", "--help"}
    mentioned = mentions(r"(?<![\w-])--[a-z][a-z-]+", "cli")
    assert len(mentioned) > 30
    assert {(path, word) for path, word in mentioned if word not in options} == set()


def test_every_command_that_is_mentioned_is_there(known: dict[str, set[str]]) -> None:
    first, groups = ({name.split()[0] for name in known if has in name} for has in ("", " "))
    mentioned = mentions(r"[`(] ?medssm ([a-z]+(?: [a-z]+)?)")
    assert len(mentioned) > 30
    stale = set()
    for path, words in mentioned:
        command, _, second = words.partition(" ")
        if command not in first or (command in groups and second and f"{command} {second}" not in known):
            stale.add((path, words))
    assert stale == set()


def test_every_key_of_a_recipe_that_is_mentioned_is_there() -> None:
    keys = {key for task in TASKS.values() for key in _keys(task.settings)}
    keys.add("data.preprocessing.intensity")  # which is short for the window of every channel
    mentioned = mentions(r"--set[ =]\"?([a-z_]+(?:\.[a-z_]+)+)")
    assert len(mentioned) > 20
    free = "model.arguments."  # which each network has of its own
    assert {(path, key) for path, key in mentioned if key not in keys and not key.startswith(free)} == {
        ("docs/pages.py", "section.key")
    }
