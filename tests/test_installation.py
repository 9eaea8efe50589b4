"""The wheel, built from a copy of the sources where there is no torch: with a compiler, and without."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[1]
PARTS = {"medssm": "medssm", **{folder: f"medssm/{folder}" for folder in ("kernels", "cli", "recipes", "data")}}
METADATA = ("setup.cfg", "setup.py", "pyproject.toml", "README.md", "LICENSE")
PIP = [sys.executable, "-m", "pip"]
USE = """
import torch
from medssm import kernels, models
from medssm.kernels import native
print(kernels.__file__, models.__file__, native.unavailable(), sep="\\n")
x = torch.ones(1, 2, 4)
kernels.causal_conv1d(x, torch.ones(2, 2))
print(kernels.selective_scan(x, x, -torch.ones(2, 1), x[:, None, :1], x[:, None, :1])[0, 0, 0].item())
"""


@pytest.fixture(scope="module", autouse=True)
def _setuptools_in_reach(tmp_path_factory: pytest.TempPathFactory) -> None:
    """An isolated build fetches it."""
    command = [*PIP, "download", "-q", "--no-deps", "-d", str(tmp_path_factory.mktemp("needed")), "setuptools>=77"]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("setuptools cannot be fetched; run this where a package index can be reached")


@pytest.fixture
def quick_compiler(tmp_path: Path) -> str:
    """The C++ compiler, told to leave out the optimisations: they take minutes, and nothing here goes by them."""
    compiler = os.environ.get("CXX", "c++")
    if os.name != "posix" or not shutil.which(compiler):
        return os.environ.get("CXX", "")
    script = tmp_path / "quick-c++"
    script.write_text(f'#!/bin/sh\nexec {compiler} "$@" -O0\n', encoding="utf-8")
    script.chmod(0o755)
    return str(script)


def build(folder: Path, **environment: str) -> tuple[Path, str]:
    """The folder of the unpacked wheel, and what the build said."""
    source, site = folder / "source", folder / "site"
    for part in PARTS:
        shutil.copytree(ROOT / part, source / part, ignore=shutil.ignore_patterns("__pycache__", "libmedssm.*"))
    for name in METADATA:
        shutil.copy(ROOT / name, source)
    command = [*PIP, "wheel", "-v", "--no-deps", "-w", str(folder), str(source)]
    built = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        env={**os.environ, **environment},
        check=False,
    )
    assert built.returncode == 0, built.stdout
    [wheel] = folder.glob("medssm-*.whl")
    ZipFile(wheel).extractall(site)
    return site, built.stdout


def use(site: Path) -> tuple[list[str], str]:
    """What a Python in the project's root prints and warns of with the wheel installed."""
    environment = {**os.environ, "PYTHONPATH": str(site)}
    done = subprocess.run(
        [sys.executable, "-c", USE], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines(), done.stderr


def test_a_wheel_holds_every_part_and_its_native_library_runs(tmp_path: Path, quick_compiler: str) -> None:
    site, _ = build(tmp_path, CXX=quick_compiler)
    for part, package in PARTS.items():
        sources = {
            path.relative_to(ROOT / part)
            for end in ("py", "yaml", "typed", "txt")
            for path in (ROOT / part).rglob(f"*.{end}")
        }
        assert not [path for path in sources if not (site / package / path).is_file()]
    (found, other, reason, value), warned = use(site)
    assert Path(found) == site / "medssm" / "kernels" / "__init__.py"
    assert Path(other) == site / "medssm" / "models" / "__init__.py"
    assert (reason, float(value), warned) == ("None", 1.0, "")


def test_without_a_compiler_the_build_and_the_first_use_say_so_once(tmp_path: Path) -> None:
    site, said = build(tmp_path, CXX="/nowhere/c++")
    sentence = (
        "native kernels not built, medssm will run on its slow reference kernels: CXX=/nowhere/c++: no such command"
    )
    assert said.count(sentence) == 1
    assert not list(site.rglob("libmedssm.*"))
    (*_, reason, value), warned = use(site)
    assert "install a C++ compiler" in reason
    assert float(value) == 1.0
    assert warned.count("medssm runs on its slow reference kernels") == 1


def test_on_windows_no_compiler_is_taken_unasked() -> None:
    """The script that builds, with nothing built."""
    code = """
import runpy, setuptools, sys
setuptools.setup = lambda **options: None
find_compiler = runpy.run_path("setup.py")["find_compiler"]
sys.platform = "win32"
try:
    find_compiler()
except Exception as error:
    print(error)
"""
    environment = {name: value for name, value in os.environ.items() if name != "CXX"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("the native kernels are not made for Windows yet")
