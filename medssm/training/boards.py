"""Where a run's figures and pictures go beside its folder's files: TensorBoard, MLflow, Weights & Biases.

The last two are Lightning's loggers, which run in the extras of these names. What they count a run as is kept in its
folder, so that one that goes on is the same there.
"""

import json
import os
import re
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any, Protocol
from uuid import uuid4

import numpy as np

from medssm.errors import MedssmError, UsageError, reason_of
from medssm.files import atomic_path, json_text
from medssm.training.run_folder import RunFolder
from medssm.training.settings import BoardName

_NEEDED = {"mlflow": ("mlflow", "pytorch_lightning"), "wandb": ("wandb", "pytorch_lightning")}


class Board(Protocol):
    """Something that shows figures over steps."""

    name: str

    def chart(self, step: int, values: Mapping[str, float]) -> None:
        """Adds the figures of a step."""

    def show(self, step: int, pictures: Mapping[str, np.ndarray]) -> None:
        """Adds pictures (H, W, 3) uint8."""

    def close(self, is_whole: bool) -> None:
        """Ends the session; not whole is one that ended with an error."""


def refuse_missing(names: Sequence[BoardName]) -> None:
    """Raises UsageError if the packages of a board are not installed."""
    for name in names:
        if missing := [package for package in _NEEDED.get(name, ()) if find_spec(package) is None]:
            raise UsageError(
                f"run.loggers: {name} needs {' and '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not "
                f"installed; pip install '.[{name}]' in medssm's source installs it"
            )


def open_boards(names: Sequence[BoardName], folder: RunFolder, step: int, settings: Mapping[str, Any]) -> list[Board]:
    """The boards of a run.

    Args:
        step: from which it goes on. settings: of the run, kept with its figures.

    Raises: MedssmError if one cannot be opened, as its server is not reached.
    """
    boards: list[Board] = []
    for name in names:
        if name == "tensorboard":
            boards.append(TensorBoard(folder, step))
            continue
        try:
            boards.append(MLflow(folder, settings) if name == "mlflow" else WeightsAndBiases(folder, settings))
        except Exception as error:  # of a client and of the network behind it: anything
            why = f"{type(error).__name__}: {reason_of(error)}"
            raise MedssmError(f"run.loggers: {name} cannot be opened ({why}); set it up, or leave it out") from error
    return boards


class TensorBoard:
    """Event files in the run's folder; steps that are gone through again are taken back."""

    name = "tensorboard"

    def __init__(self, folder: RunFolder, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder.tensorboard), purge_step=step + 1 if step else None)

    def chart(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def show(self, step: int, pictures: Mapping[str, np.ndarray]) -> None:
        for name, picture in pictures.items():
            self._writer.add_image(name, picture, step, dataformats="HWC")
        self._writer.flush()

    def close(self, is_whole: bool) -> None:
        self._writer.close()


class MLflow:
    """An MLflow run, on the server of MLFLOW_TRACKING_URI or else in the folder `mlruns` of the run's own."""

    name = "mlflow"

    def __init__(self, folder: RunFolder, settings: Mapping[str, Any]) -> None:
        from pytorch_lightning.loggers import MLFlowLogger

        server = os.environ.get("MLFLOW_TRACKING_URI")
        if server is None:
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # MLflow 3 wants to be told that files are meant
        known = _known_ids(folder).get(self.name)
        self._logger = MLFlowLogger(
            str(settings.get("name", "medssm")),
            run_name=folder.path.name,
            tracking_uri=server or (folder.path / "mlruns").resolve().as_uri(),
            run_id=known,
        )
        if known is None:
            self._logger.log_hyperparams(dict(settings))
        _keep_id(folder, self.name, str(self._logger.run_id))

    def chart(self, step: int, values: Mapping[str, float]) -> None:
        self._logger.log_metrics({_allowed(name): value for name, value in values.items()}, step)

    def show(self, step: int, pictures: Mapping[str, np.ndarray]) -> None:
        for name, picture in pictures.items():
            place = f"pictures/{_allowed(name)} {step}.png"
            self._logger.experiment.log_image(self._logger.run_id, picture, artifact_file=place)

    def close(self, is_whole: bool) -> None:
        self._logger.finalize("success" if is_whole else "failed")


class WeightsAndBiases:
    """A run of Weights & Biases; its own settings, such as WANDB_MODE=offline, are those of its client."""

    name = "wandb"

    def __init__(self, folder: RunFolder, settings: Mapping[str, Any]) -> None:
        from pytorch_lightning.loggers import WandbLogger

        known = _known_ids(folder).get(self.name) or uuid4().hex[:8]
        self._logger = WandbLogger(
            name=folder.path.name,
            save_dir=folder.path,
            id=known,
            project=str(settings.get("name", "medssm")),
            resume="allow",
        )
        self._logger.log_hyperparams(dict(settings))
        _keep_id(folder, self.name, known)

    def chart(self, step: int, values: Mapping[str, float]) -> None:
        self._logger.log_metrics(dict(values), step)

    def show(self, step: int, pictures: Mapping[str, np.ndarray]) -> None:
        for name, picture in pictures.items():
            self._logger.log_image(name, [picture], step)

    def close(self, is_whole: bool) -> None:
        self._logger.experiment.finish(exit_code=int(not is_whole))


def _allowed(name: str) -> str:
    """What MLflow takes as a name."""
    return re.sub(r"[^\w/. -]", "", name, flags=re.ASCII)


def _known_ids(folder: RunFolder) -> dict[str, str]:
    try:
        ids = json.loads(folder.boards.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # none yet, or none that can be used
        return {}
    return ids if isinstance(ids, dict) else {}


def _keep_id(folder: RunFolder, name: str, own_id: str) -> None:
    with atomic_path(folder.boards) as temporary:
        temporary.write_text(json_text({**_known_ids(folder), name: own_id}), encoding="utf-8")
