"""`medssm train` as a person types it."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from medssm.cli.errors import explain
from medssm.cli.main import build_app

MAIN = "from medssm.cli.main import main; main()"
SMALL = ["--model", "mamband-xs", "--set", "augmentation.crops.size=[16,16,16]"]


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDSSM_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def medssm(*arguments: str | Path) -> Result:
    return CliRunner().invoke(build_app(), [str(argument) for argument in arguments])


def sentence(result: Result) -> tuple[str, int]:
    assert result.exception is not None
    explained = explain(result.exception)
    assert explained is not None, result.exception
    return explained


def test_a_run_makes_its_own_folder_and_says_where_the_weights_are(cube_dataset: Path, tmp_path: Path) -> None:
    result = medssm("train", "btcv", *SMALL, "--data", cube_dataset, "--max-epochs", "1", "--seed", "3")
    assert result.exit_code == 0, result.output
    [folder] = (tmp_path / "runs").iterdir()
    assert folder.name.startswith("btcv-mamband-xs-")
    assert {file.name for file in folder.iterdir()} == {
        *(
            "recipe.yaml",
            "environment.json",
            "train.log",
            "metrics.csv",
            "last.ckpt",
            "best.safetensors",
            "previous.ckpt",
            "tensorboard",
        ),
        "curves.png",
    }
    assert "finished at step 2" in result.output
    assert str(folder.relative_to(tmp_path) / "best.safetensors") in result.output
    assert "seed: 3" in (folder / "recipe.yaml").read_text(encoding="utf-8")

    again = medssm("train", "--resume", "--max-epochs", "1")
    assert "step 2 of 2" in again.output
    more = medssm("train", "--from", folder, "--max-steps", "1", "--out", tmp_path / "more")
    assert f"the network starts from weights: {folder}; of the classes it knows bright, brighter" in more.output
    assert "finished at step 1" in more.output
    assert sentence(medssm("train", "--from", tmp_path / "none"))[1] == 2
    over = medssm("train", "btcv", *SMALL, "--data", cube_dataset, "--max-steps", "1", "--out", folder)
    assert sentence(over) == (f"{over.exception}", 2)
    assert "already holds files; continue that run with --resume" in str(over.exception)


def test_ctrl_c_ends_with_a_checkpoint_and_says_how_to_continue(cube_dataset: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", MAIN, "train", "btcv", *SMALL, "--max-steps", "100000"]
    with subprocess.Popen(
        [*command, "--data", cube_dataset, "--out", "run"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        next(line for line in process.stdout if line.startswith("step 0 of"))
        process.send_signal(signal.SIGINT)
        output = process.stdout.read()
    assert process.returncode == 130, output
    assert "continue with --resume --out run" in output
    assert (tmp_path / "run" / "last.ckpt").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["btcv"], "no dataset was given. BTCV is had"),
        (["btcv", "--data", "nowhere"], "try --data phantom"),
        (["btvc"], "did you mean btcv?"),
        (["btcv", "--model", "mamband-xss"], "did you mean mamband-xs?"),
        (["btcv", "--set", "run.sede=1"], "did you mean run.seed?"),
        (["btcv", "--precision", "8-bit"], "run.precision: input should be"),
        (["--resume"], "there is no run in"),
        ([], "give a recipe such as btcv"),
    ],
)
def test_a_mistake_gets_one_sentence(arguments: list[str], words: str, tmp_path: Path) -> None:
    text, code = sentence(medssm("train", *arguments))
    assert words in text
    assert "\n" not in text
    assert code == (1 if "nowhere" in arguments else 2)
    assert not (tmp_path / "runs").exists()
