"""What goes wrong in a run gets one sentence, and nothing that was learnt is lost."""

import errno
import resource
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from medssm.errors import DataError, MedssmError, UsageError
from medssm.training import Moment, TrainingSettings, fit

sys.path.insert(0, str(Path(__file__).parent))
from tiny_run import Sine, settings, train


def step_of(folder: Path) -> int:
    return torch.load(folder / "last.ckpt", weights_only=True)["progress"]["step"]


class Diverging(Sine):
    """The seventh step's loss is not a number."""

    calls = 0

    def losses(self, model: nn.Module, batch: Any, moment: Moment) -> dict[str, Tensor]:
        self.calls += 1
        losses = super().losses(model, batch, moment)
        return losses if self.calls < 7 else {"loss": losses["loss"] * torch.nan, "absolute": losses["absolute"]}


def test_a_loss_that_is_not_finite_ends_the_run_and_keeps_the_last_good_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(MedssmError, match="step 7: the loss is not finite; lower the learning rate"):
        train(tmp_path / "run", Diverging(), validate_every_steps=5)
    assert step_of(tmp_path / "run") == 5
    train(tmp_path / "run", resume=True)
    assert step_of(tmp_path / "run") == 60


def test_weights_that_are_not_finite_are_never_saved(tmp_path: Path) -> None:
    class Poisoned(Sine):
        def summarise(self, results: list[float]) -> dict[str, float]:
            with torch.no_grad():
                self.model[0].weight.fill_(torch.inf)
            return super().summarise(results)

        def build_model(self) -> nn.Module:
            self.model = super().build_model()
            return self.model

    with pytest.raises(MedssmError, match="step 5: the loss is not finite"):
        train(tmp_path / "run", Poisoned(), validate_every_steps=5)
    assert step_of(tmp_path / "run") == 0


def test_a_sample_that_cannot_be_read_ends_the_run_with_its_state_saved(tmp_path: Path) -> None:
    class Unreadable(Sine):
        def sample(self, index: int, random: np.random.Generator) -> tuple[Tensor, Tensor]:
            self.drawn = getattr(self, "drawn", 0) + 1
            if self.drawn == 20:
                raise DataError("img0007.nii.gz: the file ends too early; copy it again")
            return super().sample(index, random)

    with pytest.raises(DataError, match=r"img0007\.nii\.gz"):
        train(tmp_path / "run", Unreadable(), steps=60)
    assert step_of(tmp_path / "run") == 9


@pytest.mark.parametrize("method", ["losses", "validate"])
def test_data_that_a_task_refuses_end_the_run_with_its_state_saved(method: str, tmp_path: Path) -> None:
    task = Sine()
    accepted, calls = getattr(task, method), []

    def refuse(*arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 8:
            raise DataError("8 of 100 videos cannot be read")
        return accepted(*arguments)

    setattr(task, method, refuse)
    with pytest.raises(DataError, match="8 of 100"):
        train(tmp_path / "run", task, steps=60, validate_every_steps=5)
    assert step_of(tmp_path / "run") == {"losses": 7, "validate": 15}[method]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device /dev/full, which Linux has")
@pytest.mark.parametrize("name", ["metrics.csv", "train.log"])
def test_a_full_disk_leaves_the_last_checkpoint_whole(name: str, tmp_path: Path) -> None:
    class Filling(Sine):
        def validate(self, model: nn.Module, item: int) -> float:
            (tmp_path / "run" / name).unlink(missing_ok=True)
            (tmp_path / "run" / name).symlink_to("/dev/full")
            return super().validate(model, item)

    with pytest.raises(MedssmError, match="the disk is full at step 15; the last checkpoint is whole"):
        train(tmp_path / "run", Filling())
    assert step_of(tmp_path / "run") in (0, 15)
    (tmp_path / "run" / name).unlink()
    train(tmp_path / "run", resume=True)
    assert step_of(tmp_path / "run") == 60


def test_a_checkpoint_that_does_not_fit_on_the_disk_leaves_the_previous_one(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    class NoRoom(Sine):
        def validate(self, model: nn.Module, item: int) -> float:
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
            return super().validate(model, item)

    try:
        with pytest.raises(MedssmError, match="the disk is full at step 15"):
            train(tmp_path / "run", NoRoom())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert step_of(tmp_path / "run") == 0
    assert not list((tmp_path / "run").glob(".writing-*"))


def test_a_disk_that_is_full_from_the_start_leaves_no_run_to_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("medssm.training.loop.save_checkpoint", full)
    with pytest.raises(
        MedssmError, match="the disk is full at step 0; free some space and give the same command again"
    ):
        train(tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("room", [0, 100, 2000, 6000, 9000])
def test_a_disk_that_fills_while_a_checkpoint_is_written_is_told_in_one_sentence(room: int, tmp_path: Path) -> None:
    """Whatever part of the archive torch was at: its own error hides that of the file system."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    class NoRoom(Sine):
        def validate(self, model: nn.Module, item: int) -> float:
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
            return super().validate(model, item)

    try:
        with pytest.raises(MedssmError, match="the disk is full at step 15"):
            train(tmp_path / "run", NoRoom())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert step_of(tmp_path / "run") == 0


def test_a_run_that_ends_before_its_first_step_leaves_no_folder(tmp_path: Path) -> None:
    class Refusing(Sine):
        def losses(self, model: nn.Module, batch: Any, moment: Moment) -> dict[str, Tensor]:
            raise UsageError("augmentation.crops.size: 20 is no multiple of 8")

    with pytest.raises(UsageError, match="no multiple"):
        train(tmp_path / "run", Refusing(), steps=4)
    assert not list(tmp_path.iterdir())
    assert train(tmp_path / "run", steps=4).step == 4


def test_a_run_too_short_for_its_schedule_says_so(tmp_path: Path) -> None:
    schedule = {"kind": "warmup-cosine", "warmup_epochs": 50, "epochs": 5000}
    given = settings(steps=12).model_dump() | {"schedule": schedule}
    fit(Sine(), TrainingSettings.model_validate(given), tmp_path / "run")
    log = (tmp_path / "run" / "train.log").read_text(encoding="utf-8")
    assert "ends after 12 of the 20000 steps" in log
    assert "never exceeds 4.1% of the full one" in log  # epoch 2 of the 49 of the warm-up


def test_a_batch_larger_than_the_data_is_explained(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="9 samples on 1 devices are more than the 8 training samples"):
        train(tmp_path / "run", batch_size=9)
    assert not (tmp_path / "run").exists()


class Normed(Sine):
    """A network whose BatchNorm has a value an image, as after pooling."""

    def build_model(self) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.BatchNorm1d(4), nn.Linear(4, 4), nn.Unflatten(1, (4, 1)))


def test_a_batch_of_one_under_batch_norm_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"run\.batch_size: 1 leaves a BatchNorm .* set run\.batch_size=2"):
        fit(Normed(), settings(4, batch_size=1), tmp_path / "run")
