"""What a person finds in `medssm`, and how the command is started."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import medssm
from medssm.errors import MedssmError

NAMES = (
    *("Segmentation", "create_model", "evaluate", "list_models", "load"),
    *("read_volume", "train", "validate", "view"),
)


@pytest.mark.parametrize("name", NAMES)
def test_the_package_offers_what_its_documentation_names(name: str) -> None:
    assert name in medssm.__all__
    assert name in dir(medssm)
    assert callable(getattr(medssm, name))
    assert getattr(medssm, name).__doc__


def test_nothing_else_is_offered() -> None:
    assert set(medssm.__all__) == {*NAMES, "__version__"}
    with pytest.raises(AttributeError, match="has no attribute 'segmentation'"):
        medssm.segmentation  # noqa: B018


def test_what_is_offered_is_what_the_parts_hold() -> None:
    assert medssm.train is import_module("medssm.recipes").train
    assert medssm.validate is import_module("medssm.recipes").measure
    assert medssm.evaluate is import_module("medssm.metrics").evaluate


def test_the_functions_say_what_is_wrong_with_what_they_are_given(tmp_path: Path) -> None:
    with pytest.raises(MedssmError, match="btvc"):
        medssm.train("btvc")
    with pytest.raises(FileNotFoundError):
        medssm.read_volume(tmp_path / "none.nii.gz")


def test_importing_it_loads_nothing_heavy() -> None:
    code = "import sys, medssm; dir(medssm); print({'torch', 'numpy', 'rich', 'typer'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_python_m_is_the_command_and_tells_its_version(tmp_path: Path) -> None:
    for folder in (tmp_path, Path(__file__).parents[1]):
        command = [sys.executable, "-m", "medssm", "--version"]
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
        assert result.stdout == f"medssm {medssm.__version__}\n"


def test_the_package_says_that_it_has_types() -> None:
    assert (Path(medssm.__file__).parent / "py.typed").is_file()
