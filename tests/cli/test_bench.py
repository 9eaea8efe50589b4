"""`medssm bench` as a person types it; the sizes are made small, nothing else."""

import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner, Result

from medssm.benchmarks import memory, predict, scan
from medssm.benchmarks.machine import this_machine
from medssm.benchmarks.scan_inputs import Size
from medssm.cli.errors import explain
from medssm.cli.main import build_app
from medssm.kernels import native

TINY = scan.Sizes(lines=(Size((5,), 32),), grids=(Size((2, 3, 4), 16),), convolutions=(Size((7,), 32),))


def medssm(*arguments: str | Path) -> Result:
    return CliRunner().invoke(build_app(), ["bench", *(str(argument) for argument in arguments)])


@pytest.fixture(autouse=True)
def process_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command would change allocator and environment for all tests that follow in this process."""
    monkeypatch.setattr("medssm.cli.bench.STEADY_THREADS", {})
    monkeypatch.setattr("medssm.allocator.keep_freed_memory", lambda: True)


@pytest.mark.skipif(native.unavailable() is not None, reason="measures the native kernels; needs a C++ compiler")
def test_scan_prints_tables_and_writes_every_repetition(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "SIZES", TINY)
    result = medssm("scan", "--repeats", "2", "--threads", "1", "--json", tmp_path / "scan.json")
    assert result.exit_code == 0, result.output
    for text in ("L=5, dim 32, N=16", "L=2x3x4, dim 16, N=16", "geometric mean", "G exp/s", "design targets"):
        assert text in result.output
    report = json.loads((tmp_path / "scan.json").read_text(encoding="utf-8"))
    assert report["machine"]["threads"] == 1
    assert len(report["rows"]) == TINY.rows
    for row in report["rows"]:
        ours, other = row["times"]["ours"], row["times"]["other"]
        assert len(ours) == len(other) == 2
        ratios = [b / a for a, b in zip(ours, other, strict=True)]
        assert row["times"]["ratios"] == pytest.approx(
            {"min": min(ratios), "median": sum(ratios) / 2, "max": max(ratios)}
        )


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here, which this does without")
def test_scan_on_a_gpu_that_is_not_there_fails_in_a_sentence() -> None:
    result = medssm("scan", "--device", "cuda")
    assert result.exception is not None
    explained = explain(result.exception)
    assert explained is not None
    sentence, code = explained
    assert code == 1
    assert "no CUDA device" in sentence


def test_window_of_a_model_without_a_plain_form_is_a_wrong_argument() -> None:
    result = medssm("window", "--model", "mamband-xs")
    assert result.exception is not None
    explained = explain(result.exception)
    assert explained is not None
    assert explained[1] == 2


def test_stitching_and_prediction_are_in_one_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = predict.measure_stitching((40, 40, 40), classes=3, repeats=1, window=(32, 32, 32))
    monkeypatch.setattr(predict, "measure_predict", lambda *_: small)
    monkeypatch.setattr(predict, "measure_stitching", lambda: small)
    result = medssm("predict", "--json", tmp_path / "predict.json")
    assert result.exit_code == 0, result.output
    assert "stitching alone" in result.output
    assert result.output.count("100.0000%") == 2
    assert json.loads((tmp_path / "predict.json").read_text(encoding="utf-8"))["stitching"]["shape"] == [40, 40, 40]


def test_memory_prints_peak_and_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    report = memory.MemoryReport(this_machine(), (40, 40, 40), 3, 4 << 30, 3 << 29, 2 << 30, 12 * 40**3, 1, 1, 2.0)
    monkeypatch.setattr(memory, "measure_memory", lambda: report)
    result = medssm("memory")
    assert result.exit_code == 0, result.output
    assert "40x40x40, 3 classes" in result.output
    assert "1.50 GiB" in result.output


def test_models_of_both_libraries_are_in_one_table(tmp_path: Path) -> None:
    options = ("--batches", "1,2", "--budget", "0.01", "--repeats", "2", "--no-memory", "--json", tmp_path / "m.json")
    result = medssm("model", "mamband-xs", "timm:test_resnet", *options)
    assert result.exit_code == 0, result.output
    assert result.output.count("mamband-xs") == result.output.count("timm:test_resnet") == 2
    assert "32-true" in result.output
    report = json.loads((tmp_path / "m.json").read_text(encoding="utf-8"))
    assert report["conditions"]["budget"] == 0.01
    assert [speed["batch"] for speed in report["speeds"]] == [1, 1, 2, 2]
    assert all(speed["images_per_second"]["median"] > 0 for speed in report["speeds"])


def test_unknown_model_or_batch_size_is_a_wrong_argument() -> None:
    for arguments in (("timm:none_such",), ("mamband-xs", "--batches", "many"), ("mamband-s", "--size", "64")):
        result = medssm("model", *arguments)
        assert result.exception is not None
        explained = explain(result.exception)
        assert explained is not None
        assert explained[1] == 2


def test_the_table_of_networks_is_written_as_markdown(tmp_path: Path) -> None:
    result = medssm("zoo", "groupmamba-t", "--no-speed", "--markdown", tmp_path / "zoo.md")
    assert result.exit_code == 0, result.output
    assert "groupmamba-t" in result.output
    row = (tmp_path / "zoo.md").read_text(encoding="utf-8").splitlines()[2]
    assert row.startswith("| `groupmamba-t` | 23.36 | 23 | 4.65 | 4.6 | – | – | top-1 83.3")


def test_goldens_that_are_not_there_are_a_wrong_argument(tmp_path: Path) -> None:
    error = medssm("zoo", "groupmamba-t", "--goldens", tmp_path / "none").exception
    assert error is not None
    assert "there is no such folder" in str(error)
