"""`medssm doctor`: every backend is looked at, and what is said to work was run."""

from importlib.util import find_spec

import pytest
import torch
from typer.testing import CliRunner

from medssm import doctor, kernels
from medssm.cli.main import build_app


def test_every_backend_of_every_operator_is_tried() -> None:
    subjects = {finding.subject for finding in doctor.backends()}
    for name, operator in kernels.operators().items():
        assert {f"{name}: {backend} on cpu" for backend in operator.modules} <= subjects


def test_no_backend_that_is_available_fails_or_computes_wrongly() -> None:
    bad = [f for f in doctor.backends() if f.detail.startswith(("fails", "gives wrong results"))]
    assert not bad
    working = {f.subject for f in doctor.backends() if f.works}
    for name, operator in kernels.operators().items():
        assert f"{name}: {list(operator.modules)[-1]} on cpu" in working


def test_the_reference_works_and_what_does_not_says_why() -> None:
    findings = {finding.subject: finding for finding in doctor.backends()}
    assert findings["selective_scan: reference on cpu"].works
    assert all(finding.detail for finding in findings.values())
    assert "CUDA" in findings["selective_scan: mamba_ssm on cpu"].detail


def test_a_backend_that_computes_wrongly_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    reference = kernels.operators()["causal_conv1d"].backend("reference")
    forward = reference.forward
    calls = []

    def another_result_each_time(*arguments: object) -> torch.Tensor:
        calls.append(arguments)
        return forward(*arguments) * len(calls)

    monkeypatch.setattr(reference, "forward", another_result_each_time)
    finding = next(f for f in doctor.backends() if f.subject == "causal_conv1d: reference on cpu")
    assert finding.works is False
    assert "wrong results" in finding.detail


@pytest.mark.parametrize(("operator", "backend"), [("selective_scan", "mamba_ssm"), ("causal_conv1d", "causal_conv1d")])
def test_an_absent_package_is_one_sentence_that_names_the_extra(operator: str, backend: str) -> None:
    if find_spec(backend):
        pytest.skip(f"{backend} is installed here; its absence can be tried without medssm[cuda] only")
    reason = kernels.operators()[operator].backend(backend).unavailable(torch.device("cuda"))
    assert "pip install '.[cuda]'" in reason
    assert "\n" not in reason


def test_command_prints_versions_devices_and_backends() -> None:
    result = CliRunner().invoke(build_app(), ["doctor"], env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    for expected in ("Versions", "SimpleITK", "CPU", "selective_scan: reference on cpu", "pip install '.[cuda]'"):
        assert expected in result.output
