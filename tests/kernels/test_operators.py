"""What every operator promises on every backend, whatever the settings of the process and whatever it is handed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from medssm.kernels import native, operators

sys.path.insert(0, str(Path(__file__).parent))
from operator_cases import CASES

NEEDS_NATIVE = pytest.mark.skipif(native.unavailable() is not None, reason=str(native.unavailable()))


def run_program(name: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A program beside this file, in a process of its own."""
    command = [sys.executable, str(Path(__file__).with_name(name)), *arguments]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment}, check=False)


def test_every_operator_has_a_case() -> None:
    assert {case.operator for case in CASES.values()} == set(operators())


@NEEDS_NATIVE
@pytest.mark.parametrize(
    ("backend", "isa"),
    [("native", "avx512"), ("native", "avx2"), ("native", "neon"), ("native", "baseline"), ("triton", "")],
)
def test_nan_and_infinity_come_through(backend: str, isa: str) -> None:
    """What is not finite in the equation is not so here; the rest agrees, but for entries that 0 x NaN reaches."""
    result = run_program("nonfinite.py", backend, MEDSSM_ISA=isa)
    if f"MEDSSM_ISA={isa}: not an instruction set that was built and runs here" in result.stderr:
        pytest.skip(f"{isa} was not built or does not run here")
    assert result.returncode == 0, result.stderr[-2000:]
    report = json.loads(result.stdout)
    assert isa in ("", report["isa"])
    if not report["found"]:
        pytest.skip(f"{backend} cannot run on this CPU")
    for name, found in report["found"].items():
        assert found["swallowed"] == 0, (name, found)
        assert found["spread"] <= 0.2, (name, found)
        assert found["error"] <= 1e-4, (name, found)


@pytest.mark.parametrize(
    ("dtype", "device"), [("bfloat16", "cpu"), ("float16", "cpu"), ("float64", "cpu"), ("float32", "meta")]
)
def test_defaults_of_torch_change_nothing(dtype: str, device: str) -> None:
    result = run_program("defaults.py", dtype, device, "native", "reference", "torch")
    assert result.returncode == 0, result.stderr[-2000:]
    same = json.loads(result.stdout)
    assert len(same) >= len(CASES)
    assert all(same.values()), [name for name, equal in same.items() if not equal]
