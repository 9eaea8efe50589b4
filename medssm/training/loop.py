"""The training loop that every recipe is run by."""

import errno
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from signal import Signals
from typing import Any

import torch
import torch.distributed
from lightning_fabric import Fabric
from torch import Tensor

from medssm.errors import DataError, MedssmError, UsageError
from medssm.training.budget import length_of_run
from medssm.training.checkpoint import Progress, divergence, load_checkpoint, save_checkpoint
from medssm.training.hardware import deterministic, launch, part
from medssm.training.journal import Journal
from medssm.training.loader import Loader
from medssm.training.randomness import Purpose, seed_torch
from medssm.training.run_folder import RunFolder
from medssm.training.settings import TrainingSettings
from medssm.training.stopping import StopRequest
from medssm.training.task import Task

# Errors of a file system that has no room left: full, over quota, over the process's limit.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

# Steps that are timed when the length of a run is given in minutes; the first ones are slower and not counted. The
# median of the others counts, as something else may run for a moment.
WARM_STEPS, TIMED_STEPS = 3, 9


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        signal: what stopped it early, None if it came to its end.
        best_score: the best validation score, None if none was taken.
    """

    folder: Path
    step: int
    signal: Signals | None
    best_score: float | None


def fit(task: Task, settings: TrainingSettings, folder: Path, recipe: str = "", resume: bool = False) -> Outcome:
    """Trains a task in a run folder, or goes on with the run that lies there.

    A run that was stopped at any step and resumed gives the weights of one that never was: everything random is
    a function of the seed and the step.

    Args:
        recipe: the resolved recipe, kept in the folder.

    Raises:
        UsageError: if the folder holds files and `resume` is not given, or settings contradict each other.
        MedssmError: if the loss is not finite or the disk is full; the last good checkpoint is kept.
        DataError: if a sample cannot be read; the state is saved first.
    """
    fabric = launch(settings.run)
    with fabric.rank_zero_first(local=True):
        task.prepare()
    loader = _loader(fabric, task, settings)
    run = RunFolder(Path(fabric.broadcast(str(folder))))
    if fabric.is_global_zero:
        if not resume:
            run.begin(recipe)
        run.record_environment(str(fabric.device))
    fabric.barrier()
    with deterministic(), StopRequest() as stop:
        outcome = _Loop(fabric, task, settings, loader, run, stop).run()
    part(fabric)
    return outcome


class _Loop:
    """A run in progress."""

    def __init__(
        self,
        fabric: Fabric,
        task: Task,
        settings: TrainingSettings,
        loader: Loader,
        folder: RunFolder,
        stop: StopRequest,
    ) -> None:
        self.fabric, self.task, self.settings, self.folder, self.stop = fabric, task, settings, folder, stop
        self.loader = loader
        seed_torch(settings.run.seed, Purpose.MODEL)
        model = task.build_model()
        optimizer = _optimizer(task, model, settings)
        self.progress = Progress()
        if folder.last.exists():
            self.progress = load_checkpoint(folder.last, model, optimizer, fabric.strategy.precision)
        self.model, self.optimizer = fabric.setup(model, optimizer)
        self.saved_at = time.monotonic()

    def run(self) -> Outcome:
        """Trains to the end, to the stop or to the error."""
        progress = self.progress
        progress.total_steps = length_of_run(
            self.settings, self.loader.steps_per_epoch, progress.total_steps, self.seconds_per_step
        )
        columns = ("epoch", "learning_rate", *self.task.loss_names, *self.task.score_names)
        is_silent = not self.fabric.is_global_zero
        try:
            with Journal(self.folder, columns, progress.step, progress.total_steps, is_silent) as self.journal:
                return self.train()
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            raise MedssmError(
                f"{self.folder.path}: the disk is full at step {progress.step}; the last checkpoint is whole: free "
                "some space and continue with --resume"
            ) from error

    def train(self) -> Outcome:
        """The loop itself."""
        progress = self.progress
        self.journal.say(self.opening())
        if progress.step == 0:
            self.save()
        reason = self.pause()
        if reason is None:
            for step, batch in self.batches():
                self.train_step(step, batch)
                if reason := self.pause():
                    break
        self.save()
        signal = self.stop_signal()
        self.journal.say(f"{reason or 'finished'} at step {progress.step}; {self.outlook(signal)}")
        return Outcome(self.folder.path, progress.step, signal, progress.best_score)

    def batches(self) -> Iterator[tuple[int, Any]]:
        """(step, batch) of all that is left; the state is saved before an unreadable sample ends the run."""
        try:
            yield from self.loader.batches(self.progress.step, self.progress.total_steps)
        except DataError:
            self.save()
            raise

    def train_step(self, step: int, batch: Any) -> None:
        """One update of the weights, and its record."""
        began = time.monotonic()
        rate = self.set_learning_rate(step)
        losses = self.backward(step, batch)
        self.clip_gradient()
        self.optimizer.step()
        self.progress.step = step + 1
        self.progress.seconds += time.monotonic() - began
        self.journal.bar.update(step + 1, loss=losses["loss"])
        if (step + 1) % self.settings.run.log_every_steps == 0:
            epoch = step // self.loader.steps_per_epoch
            self.journal.record(step + 1, {"epoch": epoch, "learning_rate": rate, **losses})

    def set_learning_rate(self, step: int) -> float:
        """Sets the rate of every group for a step and gives the full one."""
        factor = self.settings.schedule.factor(step, self.loader.steps_per_epoch, self.progress.total_steps)
        rate = self.settings.optimizer.learning_rate * factor
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["rate"]
        return rate

    def backward(self, step: int, batch: Any) -> dict[str, float]:
        """Fills the gradients of one step and gives its losses.

        Raises: MedssmError if the loss is not finite.
        """
        seed_torch(self.settings.run.seed, Purpose.FORWARD, step, self.fabric.global_rank)
        self.model.train()
        self.optimizer.zero_grad()
        losses: dict[str, Tensor] = self.task.losses(self.model, self.fabric.to_device(batch))
        if not torch.isfinite(losses["loss"]):
            raise MedssmError(divergence(step + 1))
        self.fabric.backward(losses["loss"])
        return {name: value.item() for name, value in losses.items()}

    def clip_gradient(self) -> None:
        """Limits the gradient's norm where the recipe says so."""
        optimizer = self.settings.optimizer
        is_mixed = self.fabric.strategy.precision.precision != "32-true"
        if optimizer.clip_norm and (optimizer.clip_in_mixed_precision or not is_mixed):
            self.fabric.clip_gradients(
                self.model, self.optimizer, max_norm=optimizer.clip_norm, error_if_nonfinite=False
            )

    def pause(self) -> str | None:
        """What is due between two steps: a validation, a checkpoint; the reason to end the run now, if there is one."""
        if self.is_validation_due():
            self.validate()
        if signal := self.stop_signal():
            return f"stopped by {signal.name}"
        patience = self.settings.run.patience
        if patience and self.progress.stale >= patience:
            return f"no better score in {patience} validations, ended"
        if time.monotonic() - self.saved_at > 60 * self.settings.run.checkpoint_minutes:
            self.save()
        return None

    def is_validation_due(self) -> bool:
        """True where the recipe says so and at the end, if this step has not been validated before."""
        progress, run = self.progress, self.settings.run
        if progress.step == progress.validated:
            return False
        every = run.validate_every_steps or (run.validate_every_epochs or 0) * self.loader.steps_per_epoch
        return progress.step == progress.total_steps or (every > 0 and progress.step % every == 0)

    def validate(self) -> None:
        """Scores the weights and keeps them if they are the best; given up, to be taken again, if a stop comes."""
        results = self.validation_results()
        if self.stop_signal():
            return
        scores = self.task.summarise(results)
        self.progress.validated = self.progress.step
        score = scores[self.task.score]
        self.journal.record(self.progress.step, scores)
        self.journal.show(self.progress.step, self.task.pictures(results))
        self.journal.bar.update(self.progress.step, **{self.task.score: score})
        is_best = self.progress.best_score is None or score > self.progress.best_score
        if is_best:
            self.keep_best(scores)
        else:
            self.progress.stale += 1
        self.journal.say(f"step {self.progress.step}: {self.task.score} {score:.4f}{' (best so far)' * is_best}")

    def validation_results(self) -> list[Any]:
        """The results of all items in order, each process taking its share; incomplete if a stop came."""
        model = self.model.module.eval()
        mine: dict[int, Any] = {}
        with torch.no_grad(), self.fabric.autocast():
            for index in range(self.fabric.global_rank, self.task.validation_size, self.fabric.world_size):
                if self.stop.signal:
                    break
                self.journal.bar.describe(f"validating {index + 1}/{self.task.validation_size}")
                mine[index] = self.task.validate(model, index)
        self.journal.bar.describe("training")
        return [result for _, result in sorted(_gathered(mine).items())]

    def keep_best(self, scores: dict[str, float]) -> None:
        """Writes the weights as the best ones, and the state of the run that made them."""
        progress = self.progress
        progress.best_score, progress.best_step, progress.stale = scores[self.task.score], progress.step, 0
        if self.fabric.is_global_zero:
            self.task.save_weights(self.model.module, self.folder.best, scores)
        self.save()

    def save(self) -> None:
        """Writes last.ckpt."""
        if self.fabric.is_global_zero:
            model, precision = self.model.module, self.fabric.strategy.precision
            save_checkpoint(self.folder.last, model, self.optimizer, precision, self.progress)
        self.saved_at = time.monotonic()

    def stop_signal(self) -> Signals | None:
        """The signal that reached any of the processes, the same answer in all of them."""
        number = torch.tensor(self.stop.signal or 0, device=self.fabric.device)
        if self.fabric.world_size > 1:
            torch.distributed.all_reduce(number, op=torch.distributed.ReduceOp.MAX)
        return Signals(int(number)) if number else None

    def seconds_per_step(self) -> float:
        """The time of a step on this machine, from a few that leave the weights and buffers as they were."""
        before = {name: value.clone() for name, value in self.model.module.state_dict().items()}
        ends = []
        for step, batch in self.loader.batches(0, WARM_STEPS + TIMED_STEPS):
            self.backward(step, batch)
            ends.append(time.monotonic())
        self.model.module.load_state_dict(before)
        seconds = [end - begin for begin, end in pairwise(ends[WARM_STEPS - 1 :])]
        return self.fabric.broadcast(statistics.median(seconds))

    def opening(self) -> str:
        """Where and how the run starts."""
        progress, run = self.progress, self.settings.run
        return (
            f"step {progress.step} of {progress.total_steps} ({self.loader.steps_per_epoch} per epoch), "
            f"{self.fabric.world_size} x {self.fabric.device.type}, {self.fabric.strategy.precision.precision}, "
            f"seed {run.seed}, in {self.folder.path}"
        )

    def outlook(self, signal: Signals | None) -> str:
        """What the run leaves behind, or how it goes on."""
        if signal:
            return f"continue with --resume --out {self.folder.path}"
        best = self.progress
        return f"best {self.task.score} {best.best_score:.4f} at step {best.best_step}, weights in {self.folder.best}"


def _loader(fabric: Fabric, task: Task, settings: TrainingSettings) -> Loader:
    run = settings.run
    loader = Loader(task, run.seed, run.batch_size, fabric.global_rank, fabric.world_size, run.loader_threads)
    if loader.steps_per_epoch == 0:
        raise UsageError(
            f"run.batch_size: {run.batch_size} samples on {fabric.world_size} devices are more than the "
            f"{task.training_size} training samples; lower it"
        )
    return loader


def _optimizer(task: Task, model: torch.nn.Module, settings: TrainingSettings) -> torch.optim.AdamW:
    optimizer = settings.optimizer
    groups = [{"rate": 1.0, **group} for group in task.parameter_groups(model)]
    return torch.optim.AdamW(
        groups, lr=optimizer.learning_rate, betas=optimizer.betas, weight_decay=optimizer.weight_decay
    )


def _gathered(mine: dict[int, Any]) -> dict[int, Any]:
    if not torch.distributed.is_initialized():
        return mine
    shares: list[dict[int, Any]] = [{}] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(shares, mine)
    return {index: result for share in shares for index, result in share.items()}
