"""Names that no file can have, or that no text can show, get one sentence wherever a command takes a name."""

import typing
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import typer

from medssm.cli.main import build_app

NAMES = {"nul": "a\0b.png", "long": "x" * 5000 + ".png", "surrogate": "caf\udce9.png"}
# Of each command what is read or, where nothing is, written; NAME stands for the name.
COMMANDS = (
    "evaluate NAME {scan}",
    "evaluate {scan} NAME",
    "evaluate {scan} {scan} --names NAME",
    "evaluate {scan} {scan} --map NAME",
    "demo --out NAME/",
    "plan NAME",
    "train NAME",
    "train btcv --model NAME",
    "train btcv --data NAME",
    "train --resume --out NAME",
    "validate NAME --weights {scan}",
    "validate btcv --weights NAME",
    "predict {scan} --weights NAME",
    "predict {scan} --run NAME",
    "view NAME",
    "view {scan} NAME",
    "view {scan} --names NAME --html page.html",
    "classify {image} --weights NAME",
    "classify {image} --run NAME",
    "detect {image} --weights NAME",
    "segment {image} --weights NAME",
    "models NAME",
    "models --json NAME/",
    "cache NAME",
    "data check NAME",
    "data phantom NAME/",
    "data shapes NAME/",
    "data objects NAME/",
    "data scenes NAME/",
    "data motions NAME/",
    "weights inspect NAME",
    "weights convert NAME out.safetensors",
    "bench model NAME",
    "bench zoo NAME",
)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_strange_name_gets_one_sentence(
    command: str,
    typed: Callable[..., int],
    image: Path,
    cube_dataset: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    given = {"{scan}": str(cube_dataset / "imagesTr" / "img0001.nii.gz"), "{image}": str(image)}
    for kind, name in NAMES.items():
        if kind == "surrogate" and command.endswith("NAME/"):
            continue  # what is written may be called so
        words = [given.get(word, word.replace("NAME/", name).replace("NAME", name)) for word in command.split()]
        assert typed(*words) in (1, 2), kind
        said = capsys.readouterr().err
        assert said.startswith("medssm: "), kind
        assert said.count("\n") == 1, kind
        assert len(said) < 700, kind
        assert not {"\0", "\udce9"} & set(said), kind


def commands_with_names(app: typer.Typer, above: str = "") -> Iterator[str]:
    """The commands of an application that take paths."""
    for command in app.registered_commands:
        assert command.callback is not None
        if "Path" in str(typing.get_type_hints(command.callback, include_extras=True)):
            yield f"{above}{command.name or command.callback.__name__.strip('_')}"
    for group in app.registered_groups:
        assert group.typer_instance is not None
        yield from commands_with_names(group.typer_instance, f"{above}{group.name or group.typer_instance.info.name} ")


def test_no_command_that_takes_paths_is_forgotten() -> None:
    benchmarks = "bench "  # write one JSON, by the option that they share with `models`
    found = {name for name in commands_with_names(build_app()) if not name.startswith(benchmarks)}
    assert len(found) > 10
    assert {name for name in found if not any(line.startswith(f"{name} ") for line in COMMANDS)} == set()
