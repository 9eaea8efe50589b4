"""Where a run's figures go: MLflow in a folder, Weights & Biases without a network, and what fails on the way."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from medssm.errors import MedssmError, UsageError
from medssm.training import boards
from medssm.training.run_folder import RunFolder

sys.path.insert(0, str(Path(__file__).parent))
from tiny_run import train

PICTURES = {"reference, prediction": np.zeros((5, 6, 3), np.uint8)}


def test_mlflow_has_the_figures_of_a_run_and_of_what_it_goes_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pytorch_lightning", reason="pip install '.[mlflow]'")
    client = pytest.importorskip("mlflow", reason="pip install '.[mlflow]'").MlflowClient
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    folder = RunFolder(tmp_path / "run")
    train(folder.path, steps=4, loggers=["mlflow"])
    train(folder.path, steps=4, loggers=["mlflow"], resume=True)
    assert not folder.tensorboard.exists()
    boards.MLflow(folder, {}).show(4, PICTURES)
    ids = json.loads(folder.boards.read_text(encoding="utf-8"))
    kept = client(tracking_uri=(folder.path / "mlruns").as_uri())
    assert [metric.step for metric in kept.get_metric_history(ids["mlflow"], "loss")] == [1, 2, 3, 4]
    run = kept.get_run(ids["mlflow"])
    assert (run.info.status, run.info.run_name) == ("FINISHED", "run")
    assert run.data.params["run/batch_size"] == "2"
    assert [file.path for file in kept.list_artifacts(ids["mlflow"], "pictures")] == [
        "pictures/reference prediction 4.png"
    ]


def test_weights_and_biases_takes_a_run_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pytorch_lightning", reason="pip install '.[wandb]'")
    pytest.importorskip("wandb", reason="pip install '.[wandb]'")
    monkeypatch.setenv("WANDB_MODE", "offline")
    folder = RunFolder(tmp_path)
    board = boards.WeightsAndBiases(folder, {"name": "btcv"})
    board.chart(1, {"loss": 0.5})
    board.show(1, PICTURES)
    board.close(True)
    own_id = json.loads(folder.boards.read_text(encoding="utf-8"))["wandb"]
    assert len(list((tmp_path / "wandb").glob(f"offline-run-*-{own_id}"))) == 1


@pytest.mark.parametrize("name", ["mlflow", "wandb"])
def test_a_package_that_is_not_installed_is_told_before_anything_is_done(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boards, "find_spec", lambda package: None)
    with pytest.raises(UsageError, match=rf"{name} needs {name} and pytorch_lightning.*pip install '\.\[{name}\]'"):
        train(tmp_path / "run", loggers=[name])
    assert not (tmp_path / "run").exists()


def test_a_board_that_cannot_be_opened_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boards, "find_spec", lambda package: True)
    monkeypatch.setitem(sys.modules, "pytorch_lightning.loggers", None)
    with pytest.raises(MedssmError, match=r"run\.loggers: mlflow cannot be opened \(ModuleNotFoundError"):
        train(tmp_path / "run", loggers=["mlflow"])
    assert not (tmp_path / "run").exists()


class Unreachable:
    name = "mlflow"

    def chart(self, step: int, values: Mapping[str, float]) -> None:
        if step > 2:
            raise ConnectionError("no route to host")

    def show(self, step: int, pictures: Mapping[str, np.ndarray]) -> None: ...

    def close(self, is_whole: bool) -> None:
        raise AssertionError("a board that was left out is not closed")


def test_a_run_goes_on_where_a_server_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medssm.training.loop.open_boards", lambda *arguments: [Unreachable()])
    assert train(tmp_path / "run", steps=4).step == 4
    log = (tmp_path / "run" / "train.log").read_text(encoding="utf-8")
    assert log.count("mlflow takes no more of this run (ConnectionError: no route to host); all figures are in") == 1
