"""The folders are one package, imports between its parts point one way, and its docstrings' examples run."""

import ast
import doctest
import subprocess
import sys
from configparser import ConfigParser
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = {"medssm": "medssm", "kernels": "medssm.kernels", "cli": "medssm.cli"}
FOLDERS |= {"recipes": "medssm.recipes", "data": "medssm.data"}

# The order of the parts: what each may import of those below it. Errors, files and the environment serve all but the
# kernels. Studies and benchmarks stand above the tasks, and nothing but the command line imports them.
_LEAVES = ("errors", "offers", "files", "torch_files", "environment")
_LIBRARY = ("training", "viewing", "metrics", "checkpoints", "models", "data", "kernels", *_LEAVES)
MAY_IMPORT: dict[str, tuple[str, ...]] = {
    "kernels": (),
    "models": ("kernels", "errors", "offers"),
    "data": ("errors", "offers", "files"),
    "metrics": ("data", *_LEAVES),
    "checkpoints": ("models", "data", *_LEAVES),
    "training": _LEAVES,
    "viewing": ("metrics", "data", *_LEAVES),
    "tasks": _LIBRARY,
    "recipes": ("tasks", *_LIBRARY),
    "benchmarks": ("tasks", "allocator", "waiting", *_LIBRARY),  # which a process that is measured sets as commands do
    "studies": ("benchmarks", "tasks", *_LIBRARY),
}
# The same inside data.
_ALSO = ("progress",)
MAY_IMPORT_IN_DATA: dict[str, tuple[str, ...]] = {
    "progress": (),
    "images": _ALSO,
    "clips": _ALSO,
    "transforms": ("images", *_ALSO),
    "scans": ("transforms", *_ALSO),
    "layouts": ("scans", "clips", "images", *_ALSO),
    "synthetic": ("layouts", "scans", "clips", "images", *_ALSO),
}


def module_names() -> dict[str, Path]:
    names = {}
    for folder, package in FOLDERS.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            names[".".join((package, *parts)).removesuffix(".__init__")] = path
    return names


def imported_by(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in names if name.startswith("medssm.")}


@pytest.mark.parametrize("part", MAY_IMPORT)
def test_imports_point_one_way(part: str) -> None:
    allowed = (part, *MAY_IMPORT[part])
    for name, path in module_names().items():
        if f"{name}.".startswith(f"medssm.{part}."):
            wrong = [target for target in imported_by(path) if target.split(".")[1] not in allowed]
            assert not wrong, f"{name} imports {wrong}"


def test_imports_inside_data_point_one_way() -> None:
    folders = {path.stem for path in (ROOT / "data").iterdir() if path.suffix == ".py" or path.is_dir()}
    assert folders - {"__init__", "__pycache__"} == MAY_IMPORT_IN_DATA.keys()
    for part, below in MAY_IMPORT_IN_DATA.items():
        for name, path in module_names().items():
            if f"{name}.".startswith(f"medssm.data.{part}."):
                inside = [target for target in imported_by(path) if target.startswith("medssm.data.")]
                wrong = [target for target in inside if target.split(".")[2] not in (part, *below)]
                assert not wrong, f"{name} imports {wrong}"


def test_a_name_in_data_means_one_thing() -> None:
    places: dict[str, list[str]] = {}
    for name, path in module_names().items():
        if name.startswith("medssm.data."):
            for node in ast.parse(path.read_text(encoding="utf-8")).body:
                if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                    places.setdefault(node.name, []).append(name)
    assert {name: where for name, where in places.items() if len(set(where)) > 1} == {}


def test_no_task_imports_another() -> None:
    rooms = {path.name for path in (ROOT / "medssm" / "tasks").iterdir() if (path / "__init__.py").is_file()}
    for name, path in module_names().items():
        parts = name.split(".")
        if parts[1:2] == ["tasks"] and parts[2:3] and parts[2] in rooms:
            others = tuple(f"medssm.tasks.{room}." for room in rooms - {parts[2]})
            wrong = [target for target in imported_by(path) if f"{target}.".startswith(others)]
            assert not wrong, f"{name} imports {wrong}"


@pytest.mark.parametrize("folder", FOLDERS)
def test_nothing_imports_by_the_folders_own_name(folder: str) -> None:
    for name, path in module_names().items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) and node.level == 0 else []
            modules += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if folder != "medssm":
                assert all(m.split(".")[0] != folder for m in modules), name


def test_every_package_is_installed() -> None:
    config = ConfigParser()
    config.read(ROOT / "setup.cfg")
    listed = set(config["options"]["packages"].split())
    packages = {name for name, path in module_names().items() if path.name == "__init__.py"}
    assert packages == listed


def test_kernels_found_as_a_folder_are_the_same_module() -> None:
    code = "import kernels.selective_scan, medssm.kernels; assert kernels is medssm.kernels; print('once')"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.stdout == "once\n", result.stderr


def test_help_loads_neither_torch_nor_monai() -> None:
    code = "import sys, medssm.cli.main as m; m.build_app(); print({'torch', 'monai', 'numpy'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"


@pytest.mark.parametrize("name", module_names())
def test_docstring_examples_run(name: str) -> None:
    namespace = {"np": import_module("numpy"), "torch": import_module("torch"), "Path": Path}
    assert doctest.testmod(import_module(name), extraglobs=namespace).failed == 0


# Names that several modules may have: a backend's functions, those of every operator, and a command with the function
# of the library that it calls.
PROTOCOL = {"forward", "forward_", "backward", "unavailable", "unsupported", "register"}
COMMANDS = {"train", "evaluate", "view"}


def public_definitions() -> dict[str, set[str]]:
    """Modules by the name of each public function or class at their top."""
    found: dict[str, set[str]] = {}
    for module, path in module_names().items():
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                found.setdefault(node.name, set()).add(module)
    return found


def test_no_public_name_stands_for_two_things() -> None:
    twice = {name: modules for name, modules in public_definitions().items() if len(modules) > 1}
    for name in COMMANDS & set(twice):
        twice[name] = {module for module in twice[name] if not module.startswith("medssm.cli.")}
    assert {name: modules for name, modules in twice.items() if len(modules) > 1 and name not in PROTOCOL} == {}
