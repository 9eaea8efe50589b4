"""Which modules a command may load: what it does not need costs every call of it seconds."""

import subprocess
import sys
from pathlib import Path

import pytest

from medssm.benchmarks.start import example

HEAVY = ("torch", "numpy", "monai", "timm", "torchvision", "huggingface_hub", "matplotlib", "scipy", "av")


def modules_of(*arguments: str) -> set[str]:
    """The modules that a command has loaded when it ends, in a process of its own."""
    code = "import sys, atexit; atexit.register(lambda: print('loaded', *sys.modules, file=sys.stderr)); "
    code += "from medssm.cli.main import main; main()"
    result = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return set(result.stderr.rpartition("loaded ")[2].split())


def loaded_by(*arguments: str) -> set[str]:
    """The heavy modules among them."""
    return set(HEAVY) & modules_of(*arguments)


@pytest.mark.parametrize("arguments", [("--help",), ("models",), ("models", "mambavision-t"), ("bench", "--help")])
def test_help_and_lists_of_models_load_nothing_heavy(arguments: tuple[str, ...]) -> None:
    assert loaded_by(*arguments) == set()


def test_networks_for_scans_need_torch_alone() -> None:
    code = (
        "import sys; from medssm.models import list_models, model_info; "
        "[model_info(name).variant() for name in list_models()]; import medssm.checkpoints; print(*sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert not {"monai", "timm", "torchvision", "huggingface_hub", "matplotlib", "av"} & set(result.stdout.split())


def test_the_network_of_a_weights_file_is_built_without_torch_compiler() -> None:
    code = (
        "import sys, torch; from medssm.checkpoints.recognition import expected_shapes; "
        "expected_shapes('mamband-xs', 1, 14); expected_shapes('mamba2d-t', 3, 10); print(*sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert not {"torch._dynamo", "sympy"} & set(result.stdout.split())


def test_a_prediction_loads_neither_torch_compiler_nor_what_other_commands_need(tmp_path: Path) -> None:
    weights, scan = example(tmp_path)
    modules = modules_of("predict", str(scan), "--weights", str(weights), "--out", str(tmp_path / "labels.nii.gz"))
    assert (tmp_path / "labels.nii.gz").is_file()
    others = {"monai", "timm", "torchvision", "huggingface_hub", "matplotlib", "pycocotools", "av"}
    assert not {*others, "torch._dynamo", "torch._inductor", "sympy"} & modules
