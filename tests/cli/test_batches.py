"""What predict, classify, detect and segment have in common, as typed: failures, reports, logs, signals, crashes."""

import errno
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

import medssm
from medssm.checkpoints import WeightsMetadata, create_model, save_weights
from medssm.cli.options import Model, Run, Runs, Weights
from medssm.tasks.segmentation.runner import Predictor

NAMES = ("ant", "bee", "cat")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a small classifier."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("run") / "best.safetensors"
    metadata = WeightsMetadata(
        model="mamba2d-n", num_classes=3, in_channels=3, class_names=dict(enumerate(NAMES)), input_size=(64, 64)
    )
    save_weights(path, create_model("mamba2d-n", num_classes=3, input_size=(64, 64)), metadata)
    return path


@pytest.fixture
def classify(typed: Callable[..., int], weights: Path) -> Callable[..., int]:
    return lambda *arguments: typed("classify", *arguments, "--weights", weights, "--device", "cpu")


def test_the_report_says_what_became_of_each_file(
    classify, photograph, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, broken = photograph(tmp_path / "in" / "a.png", 0), photograph(tmp_path / "in" / "b.png", 1)
    broken.write_bytes(broken.read_bytes()[:900])
    report = tmp_path / "report.json"
    assert classify(good.parent, "--report", report, "--log", tmp_path / "log.txt", "--json", tmp_path / "c.json") == 1
    printed = capsys.readouterr()
    assert f"failed: 2 of 2: {broken}: cannot be read" in printed.err
    assert f"failed: {broken}: cannot be read" in printed.out
    document = json.loads(report.read_text(encoding="utf-8"))
    assert document["version"] == medssm.__version__
    assert document["command"] == "classify"
    assert document["weights"] == str(weights)
    assert document["weights_sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert document["settings"]["top"] == 5
    assert document["counts"] == {"done": 1, "skipped": 0, "failed": 1}
    first, second = document["files"]
    assert (first["file"], first["status"], first["why"]) == (str(good), "done", "")
    assert first["seconds"] > 0
    assert (second["file"], second["status"]) == (str(broken), "failed")
    assert "cannot be read" in second["why"]
    lines = (tmp_path / "log.txt").read_text(encoding="utf-8").splitlines()
    assert any(f"INFO medssm.tasks.batch: {good}: begun" in line for line in lines)
    assert any(f"ERROR medssm.tasks.batch: {broken}: cannot be read" in line for line in lines)

    assert classify(good.parent, "--report", report, "--json", tmp_path / "c.json") == 1
    again = json.loads(report.read_text(encoding="utf-8"))["files"]
    assert [(one["status"], one["why"][:5]) for one in again] == [("skipped", "is in"), ("failed", str(broken)[:5])]
    report.write_text("mine", encoding="utf-8")
    assert classify(good, "--report", report) == 2
    assert report.read_text(encoding="utf-8") == "mine"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a file that is always full, as Linux has it")
def test_a_log_on_a_full_disk_is_told_once_and_ends_nothing(classify, photograph, tmp_path: Path, capsys) -> None:
    assert classify(photograph(tmp_path / "a.png", 0), "--log", "/dev/full") == 0
    printed = capsys.readouterr()
    assert printed.err == "medssm: /dev/full: the log ends here (No space left on device)\n"
    assert "1 classified, 0 skipped, 0 failed" in printed.out


def test_none_that_succeeds_is_another_exit_code_than_some(classify, photograph, tmp_path: Path, capsys) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    assert classify(broken) == 3
    assert classify(broken, photograph(tmp_path / "a.png", 0)) == 1
    assert "1 classified, 0 skipped, 1 failed" in capsys.readouterr().out


def test_debug_shows_where_a_file_failed_and_goes_on(classify, photograph, tmp_path: Path, capsys) -> None:
    broken, good = tmp_path / "a.png", photograph(tmp_path / "b.png", 0)
    broken.write_bytes(b"no image")
    assert classify(broken, good, "--debug") == 1
    printed = capsys.readouterr()
    assert "Traceback" in printed.err
    assert "1 classified, 0 skipped, 1 failed" in printed.out


def test_outputs_that_cannot_be_written_are_told_before_the_network_is_loaded(
    typed, photograph, tmp_path: Path, capsys
) -> None:
    image, file = photograph(tmp_path / "a.png", 0), tmp_path / "file"
    file.write_text("no folder", encoding="utf-8")
    for command, option in (("classify", "--json"), ("detect", "--out"), ("segment", "--out"), ("predict", "--out")):
        given = tmp_path / "a.nii.gz" if command == "predict" else image
        assert typed(command, given, option, file / "x", "--weights", tmp_path / "none.safetensors") == 2
        error = capsys.readouterr().err
        assert "nothing can be written there" in error
        assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("command", "name", "right"),
    [
        ("predict", "a.jpg", "is an image; medssm classify names what it shows, detect finds objects"),
        ("predict", "a.mp4", "is a video, which medssm classify takes"),
        ("segment", "a.nii.gz", "is a scan, which medssm predict segments"),
        ("detect", "a.nrrd", "is a scan, which medssm predict segments"),
        ("classify", "a.mha", "is a scan, which medssm predict segments"),
        ("segment", "a.mp4", "is a video, which medssm classify takes"),
    ],
)
def test_an_input_of_another_kind_names_the_command(typed, tmp_path: Path, command, name, right, capsys) -> None:
    (tmp_path / name).write_bytes(b"")
    assert typed(command, tmp_path / name, "--weights", "none") == 2
    error = capsys.readouterr().err
    assert f"{name}: {right}" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("option", ["--report", "--weights", "--model", "--out"])
def test_an_option_given_twice_is_refused(typed, option: str, capsys) -> None:
    assert typed("predict", "a.nii.gz", option, "a", option, "b") == 2
    assert capsys.readouterr().err == f"medssm: {option}: given 2 times, but it takes one value; give it once\n"


def test_options_that_may_be_repeated_and_flags_are_not_refused(typed, tmp_path: Path, capsys) -> None:
    assert typed("train", "btvc", "--set", "a=1", "--set", "b=2") == 2
    assert "did you mean btcv?" in capsys.readouterr().err
    assert typed("predict", tmp_path / "none.nii.gz", "--tta", "--tta", "--weights", tmp_path / "none.safetensors") == 1
    assert "none.safetensors" in capsys.readouterr().err


def test_a_name_that_the_terminal_cannot_show_does_not_end_the_batch(weights: Path, photograph, tmp_path: Path) -> None:
    """One with a letter that ASCII lacks, and one whose bytes are no text."""
    folder = tmp_path / "in"
    for number, name in enumerate((b"\xc3\xa4.png", b"\xff.png", b"z.png")):
        path = photograph(folder / f"{number}.png", number)
        os.rename(path, os.path.join(os.fsencode(folder), name))
    command = [sys.executable, "-m", "medssm", "classify", str(folder), "--weights", str(weights), "--device", "cpu"]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    outputs = ["--json", str(tmp_path / "a.json"), "--report", str(tmp_path / "r.json"), "--log", str(tmp_path / "log")]
    result = subprocess.run([*command, *outputs], env=environment, capture_output=True, check=False)
    assert result.returncode == 0, result.stderr
    assert b"3 classified, 0 skipped, 0 failed" in result.stdout
    assert rb"\xe4.png" in result.stdout
    again = subprocess.run([*command, *outputs], env=environment, capture_output=True, check=False)
    assert b"0 classified, 3 skipped, 0 failed" in again.stdout, again.stderr


KILLED = """
import os, signal
from pathlib import Path
from medssm.tasks.classifier import Classifier
classify = Classifier.classify
def killed(self, path):
    if Path(path).name == "b.png":
        os.kill(os.getpid(), signal.{signal})
    return classify(self, path)
Classifier.classify = killed
from medssm.cli.main import main
main()
"""


def typed_until(number: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """A command that gets a signal at b.png."""
    command = [sys.executable, "-c", KILLED.format(signal=number), *map(str, arguments), "--device", "cpu"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def three(photograph, tmp_path: Path) -> Path:
    for number, name in enumerate("abc"):
        photograph(tmp_path / "in" / f"{name}.png", number)
    return tmp_path / "in"


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_leaves_what_was_found_and_a_summary(weights: Path, three: Path, tmp_path: Path, name: str) -> None:
    table, report = tmp_path / "out" / "a.json", tmp_path / "report.json"
    result = typed_until(name, "classify", three, "--weights", weights, "--json", table, "--report", report)
    assert result.returncode == 128 + getattr(signal, name), result.stderr
    assert f"at {three / 'b.png'}; the same command goes on there" in result.stdout
    assert "1 classified, 0 skipped, 0 failed" in result.stdout
    assert [one["file"] for one in json.loads(table.read_text(encoding="utf-8"))["files"]] == [str(three / "a.png")]
    statuses = [one["status"] for one in json.loads(report.read_text(encoding="utf-8"))["files"]]
    assert statuses == ["done", "stopped", "not begun"]
    assert [path.name for path in table.parent.iterdir()] == ["a.json"]


class OneLine(io.StringIO):
    """Standard output whose reader goes away after a line."""

    def write(self, text: str) -> int:
        if "weights:" not in text:
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")
        return len(text)


def test_nobody_reading_on_leaves_what_was_found_and_blames_no_file(
    classify, three: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    """As in `medssm classify ... | head -1`."""
    table, report = tmp_path / "out" / "a.json", tmp_path / "report.json"
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", OneLine())
        assert classify(three, "--json", table, "--report", report) == 128 + 13
    assert [Path(one["file"]).name for one in json.loads(table.read_text(encoding="utf-8"))["files"]] == ["a.png"]
    statuses = [one["status"] for one in json.loads(report.read_text(encoding="utf-8"))["files"]]
    assert statuses == ["done", "not begun", "not begun"]
    assert [path.name for path in table.parent.iterdir()] == ["a.json"]
    assert capsys.readouterr().err == ""
    assert classify(three, "--json", table) == 0


def test_after_a_crash_the_same_command_goes_on_behind_it(
    classify, weights: Path, three: Path, tmp_path: Path, capsys
) -> None:
    table = tmp_path / "out" / "a.json"
    result = typed_until("SIGKILL", "classify", three, "--weights", weights, "--json", table)
    assert result.returncode == -signal.SIGKILL
    assert not table.exists()
    assert classify(three, "--json", table) == 1
    printed = capsys.readouterr()
    assert f"1 of 3: {three / 'a.png'}: is in {table} already, skipped" in printed.out
    assert f"{three / 'b.png'}: ended the process last time; skipped: name it alone, or give --overwrite" in printed.err
    assert "1 classified, 1 skipped, 1 failed" in printed.out
    files = [Path(one["file"]).name for one in json.loads(table.read_text(encoding="utf-8"))["files"]]
    assert files == ["a.png", "c.png"]
    assert classify(three / "b.png", "--json", table) == 0
    assert [path.name for path in table.parent.iterdir()] == ["a.json"]
    assert classify(three, "--json", table) == 0
    assert "0 classified, 3 skipped, 0 failed" in capsys.readouterr().out


def test_memory_that_runs_out_at_a_scan_is_the_failure_of_that_scan(
    typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    """Whatever is raised at a scan: the next one is predicted."""
    path = tmp_path / "best.safetensors"
    preprocessing = {"spacing": (6.0, 6.0, 6.0)}
    metadata = WeightsMetadata(
        model="mamband-xs", num_classes=3, in_channels=1, preprocessing=preprocessing, input_size=(24, 24, 24)
    )
    save_weights(path, create_model("mamband-xs", num_classes=3), metadata)
    noise = np.random.default_rng(0).integers(-1000, 400, (8, 8, 8), dtype=np.int16)
    for name in "abc":
        nib.save(nib.Nifti1Image(noise, np.eye(4)), tmp_path / f"{name}.nii.gz")
    predict = Predictor.predict

    def failing(self, scan, *arguments, **options):
        if scan.first.path.name == "a.nii.gz":
            raise MemoryError
        if scan.first.path.name == "b.nii.gz":
            raise KeyError("ours")
        return predict(self, scan, *arguments, **options)

    monkeypatch.setattr(Predictor, "predict", failing)
    scans = [tmp_path / f"{name}.nii.gz" for name in "abc"]
    assert typed("predict", *scans, "--weights", path, "--device", "cpu", "--report", tmp_path / "r.json") == 1
    printed = capsys.readouterr()
    assert f"{scans[0]}: memory ran out; give --memory" in printed.err
    assert f"{scans[1]}: KeyError: 'ours'; this is a defect of medssm, --debug shows where" in printed.err
    assert "1 predicted, 0 skipped, 2 failed" in printed.out
    assert (tmp_path / "c_seg.nii.gz").exists()
    done = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))["files"][2]
    assert any("of memory" in note for note in done["notes"])
    assert sorted(path.name for path in (tmp_path / ".medssm").iterdir()) == [
        f"{name}_seg.nii.gz.json" for name in "abc"
    ]


def test_model_says_which_one_a_file_is_of(classify, photograph, tmp_path: Path, capsys) -> None:
    image = photograph(tmp_path / "a.png", 0)
    assert classify(image, "--model", "mamba2d-n") == 0
    assert classify(image, "--model", "mamba2d-s") == 1
    assert "holds weights of mamba2d-n, not of mamba2d-s" in capsys.readouterr().err


def test_without_published_weights_of_the_task_the_model_alone_is_refused(typed, photograph, tmp_path, capsys) -> None:
    image = photograph(tmp_path / "a.png", 0)
    assert typed("detect", image, "--model", "groupmamba-t", "--out", tmp_path / "out") == 2
    assert "groupmamba-t: nothing was published of it for detection" in capsys.readouterr().err


def test_shared_options_are_declared_once() -> None:
    """Every command that chooses weights does it by three options in the same words; predict takes several runs."""
    from medssm.cli import classify, detect, predict, segment

    for module in (classify, detect, predict, segment):
        hints = getattr(module, module.__name__.rpartition(".")[2]).__annotations__
        run = Runs if module is predict else Run
        assert (hints["weights"], hints["run"], hints["model"]) == (Weights, run, Model)
