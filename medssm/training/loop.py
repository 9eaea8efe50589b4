"""The training loop that every recipe is run by."""

import errno
import math
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
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
from medssm.training.averaging import Average, share_statistics
from medssm.training.boards import Board, open_boards, refuse_missing
from medssm.training.budget import length_of_run, short_run
from medssm.training.checkpoint import Progress, divergence, load_checkpoint, save_checkpoint
from medssm.training.hardware import deterministic, launch, part
from medssm.training.journal import Journal
from medssm.training.loader import Loader, shared_loader
from medssm.training.optimizers import build_optimizer, evaluation_weights
from medssm.training.progress import TrainingBar
from medssm.training.randomness import Purpose, seed_torch
from medssm.training.run_folder import RunFolder
from medssm.training.settings import TrainingSettings
from medssm.training.stopping import StopRequest
from medssm.training.task import Moment, Task
from medssm.training.throughput import Throughput
from medssm.training.validation import AVERAGE, chosen, validated, validation_results

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
        recipe: the resolved recipe, kept in the folder once nothing is refused.

    Raises:
        UsageError: if the folder holds files and `resume` is not given, another process trains in it, the data are
            not those that the run was begun with, or settings contradict each other.
        CheckpointError: if a run cannot go on, as its last checkpoint is damaged or gone.
        MedssmError: if the loss is not finite or the disk is full; the last good checkpoint is kept.
        DataError: if a sample cannot be read; the state is saved first.
    """
    refuse_missing(settings.run.loggers)
    fabric = launch(settings.run)
    with fabric.rank_zero_first(local=True):
        task.prepare()
    loader = shared_loader(task.source, settings.run, fabric.global_rank, fabric.world_size)
    run, is_first = RunFolder(Path(fabric.broadcast(str(folder)))), fabric.is_global_zero
    with deterministic(), StopRequest() as stop, run.locked() if is_first else nullcontext():
        if is_first and resume:
            run.check_resumable()
        elif is_first:
            run.refuse_files()
        # First what may be refused: it leaves no folder, and in one that is there the recipe that it was trained by.
        loop = _Loop(fabric, task, settings, loader, run, stop)
        loop.fix_length()
        if is_first:
            run.keep(recipe)
            run.record_environment(str(fabric.device))
        fabric.barrier()
        try:
            outcome = loop.run()
        except Exception:
            if is_first and not resume and loop.progress.step == 0:
                run.discard()
            raise
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
        optimizer = build_optimizer(model, settings.optimizer)
        self.average = Average(model, settings.averaging) if settings.averaging else None
        averaged = self.average.module if self.average else None
        self.progress = Progress()
        if folder.last.exists():
            precision = fabric.strategy.precision
            self.progress = load_checkpoint(folder.last, model, optimizer, precision, averaged, task.identity)
        self.model, self.optimizer = fabric.setup(model, optimizer)
        for method in task.forward_methods:
            self.model.mark_forward_method(method)
        fabric.to_device(averaged)
        self.networks: dict[str, Any] = {"": self.model.module, AVERAGE: averaged}
        self.losses: dict[str, float] = {}
        self.throughput = Throughput()
        self.saved_at = time.monotonic()

    def fix_length(self) -> None:
        """Decides how many steps the run has. Raises: UsageError if a schedule was begun for another number."""
        self.progress.total_steps = length_of_run(
            self.settings, self.loader.steps_per_epoch, self.progress.total_steps, self.seconds_per_step
        )

    def run(self) -> Outcome:
        """Trains to the end, to the stop or to the error."""
        progress = self.progress
        is_silent = not self.fabric.is_global_zero
        samples, unit = self.loader.samples_per_step, self.task.unit
        bar = TrainingBar(progress.step, progress.total_steps, is_silent, samples, unit)
        try:
            with Journal(self.folder, self.columns(), progress.step, bar, is_silent, self.open_boards) as self.journal:
                return self.train()
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            way_out = "the last checkpoint is whole: free some space and continue with --resume"
            if not self.folder.last.exists():
                way_out = "free some space and give the same command again"
            raise MedssmError(f"{self.folder.path}: the disk is full at step {progress.step}; {way_out}") from error

    def open_boards(self) -> list[Board]:
        """What shows the run's figures, with all of its settings."""
        settings = self.settings
        return open_boards(settings.run.loggers, self.folder, self.progress.step, settings.model_dump(mode="json"))

    def columns(self) -> tuple[str, ...]:
        """Of the metrics file, beside the step."""
        scores = (name + score for name in validated(self.settings.averaging) for score in self.task.score_names)
        return ("epoch", "learning_rate", *self.task.loss_names, *scores)

    def train(self) -> Outcome:
        """The loop itself."""
        progress = self.progress
        self.journal.say(self.opening())
        if progress.step == 0:
            self.tell_news()
            if remark := short_run(self.settings, self.loader.steps_per_epoch, progress.total_steps):
                self.journal.say(remark)
            self.save()
        else:
            self.task.news()  # of a fresh network, which the checkpoint has replaced
            if progress.step >= progress.total_steps:
                self.journal.say(
                    "this run is at its end; begin another one with its weights by --set "
                    f"model.pretrained={self.folder.path} and another --out"
                )
        reason = self.pause()
        if reason is None:
            self.throughput.resume()
            for step, number, batch in self.batches():
                if self.train_pass(step, number, batch):
                    if reason := self.pause():
                        break
                    self.throughput.resume()
        reason = reason or self.pause()
        self.save()
        if not self.stop_signal():
            self.complete()
        signal = self.stop_signal()
        self.journal.say(f"{reason or 'finished'} at step {progress.step}; {self.outlook(signal)}")
        return Outcome(self.folder.path, progress.step, signal, progress.best_score)

    def complete(self) -> None:
        """Lets the task learn what it learns from the best weights once the training is over."""
        if self.fabric.is_global_zero and self.folder.best.is_file():
            stop = self.stop
            for sentence in self.task.complete(self.folder.best, self.fabric.device, lambda: bool(stop.signal)):
                self.journal.say(sentence)
        self.fabric.barrier()

    def batches(self) -> Iterator[tuple[int, int, Any]]:
        """(step, number of the pass, batch) of all that is left.

        The state is saved before an unreadable sample ends the run, unless a step has been begun. A signal to all
        processes ends the loader's too, which is no error.
        """
        number = self.loader.passes - 1
        try:
            for step, number, batch in self.loader.batches(self.progress.step, self.progress.total_steps):
                yield step, number, batch
        except DataError:
            if number == self.loader.passes - 1:
                self.save()
                if self.stop.signal:
                    return
            raise

    def train_pass(self, step: int, number: int, batch: Any) -> bool:
        """Adds the gradients of a batch, and updates the weights after a step's last one; True if it was that."""
        began = time.monotonic()
        losses = self.backward(step, number, batch)
        before = self.losses if number else dict.fromkeys(losses, 0.0)
        self.losses = {name: before[name] + value / self.loader.passes for name, value in losses.items()}
        is_last = number == self.loader.passes - 1
        if is_last:
            self.update(step)
        self.progress.seconds += time.monotonic() - began
        if is_last:
            self.report(step)
        return is_last

    def update(self, step: int) -> None:
        """One step of the optimiser and of all that follows it."""
        self.clip_gradient()
        self.rate = self.set_learning_rate(step)
        self.optimizer.step()
        share_statistics(self.model.module, self.settings.run.batch_statistics)
        if self.average:
            self.average.update(self.model.module, step)
        self.progress.step = step + 1

    def report(self, step: int) -> None:
        """The record of a step."""
        self.throughput.count(self.loader.samples_per_step)
        self.journal.bar.update(step + 1, loss=self.losses["loss"])
        if (step + 1) % self.settings.run.log_every_steps == 0:
            epoch = step // self.loader.steps_per_epoch
            self.journal.record(step + 1, {"epoch": epoch, "learning_rate": self.rate, **self.losses})

    def set_learning_rate(self, step: int) -> float:
        """Sets the rate of every group for a step and gives the full one."""
        full, schedule = self.settings.optimizer.learning_rate, self.settings.schedule
        place = (step, self.loader.steps_per_epoch, self.progress.total_steps)
        for group in self.optimizer.param_groups:
            group["lr"] = group["share"] * schedule.rate(full * group["peak"], *place)
        return schedule.rate(full, *place)

    def backward(self, step: int, number: int, batch: Any) -> dict[str, float]:
        """Adds to the gradients those of one pass, and gives its losses.

        Raises: MedssmError if the loss is not finite.
        """
        seed_torch(self.settings.run.seed, Purpose.FORWARD, step, self.loader.share(number))
        self.model.train()
        if number == 0:
            self.optimizer.zero_grad()
        average = self.average.module if self.average else None
        moment = Moment(step // self.loader.steps_per_epoch, average, self.fabric.autocast())
        is_last = number == self.loader.passes - 1
        with self.fabric.no_backward_sync(self.model, enabled=not is_last):
            with (
                nullcontext() if number else self.saving_first(),
                single_values_explained(self.settings.run.batch_size),
            ):
                losses: dict[str, Tensor] = self.task.losses(self.model, self.fabric.to_device(batch), moment)
            if not torch.isfinite(losses["loss"]):
                raise MedssmError(divergence(step + 1))
            self.fabric.backward(losses["loss"] / self.loader.passes)
        return {name: value.item() for name, value in losses.items()}

    @contextmanager
    def saving_first(self) -> Iterator[None]:
        """Within it the state is saved before data that cannot be used end the run."""
        try:
            yield
        except DataError:
            self.save()
            raise

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
            with self.saving_first():
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
        with evaluation_weights(self.optimizer.optimizer):
            networks = {name: self.networks[name] for name in validated(self.settings.averaging)}
            stop, bar = self.stop, self.journal.bar
            results = validation_results(
                self.fabric, self.task, self.loader, networks, lambda: bool(stop.signal), bar.describe
            )
            if self.stop_signal():
                return
            sentence = self.judge(results)
        if self.progress.best_step == self.progress.step:
            self.save()
        self.journal.say(sentence)
        self.tell_news()

    def tell_news(self) -> None:
        """Logs what the task has to say."""
        for sentence in self.task.news():
            self.journal.say(sentence)

    def judge(self, results: dict[str, list[Any]]) -> str:
        """Records the scores of a validation, writes the weights if they are the best so far, and gives the news."""
        progress, task = self.progress, self.task
        scores = {name: task.summarise(items) for name, items in results.items()}
        flat = {name + key: value for name, values in scores.items() for key, value in values.items()}
        best = chosen(flat, task.score, self.settings.averaging)
        score = scores[best][task.score]
        progress.validated = progress.step
        self.journal.record(progress.step, flat)
        self.journal.show(progress.step, task.pictures(results[best]))
        self.journal.bar.update(progress.step, **{task.score: score})
        # Where no item has what is scored, the newest weights are kept.
        is_best = progress.best_score is None or math.isnan(progress.best_score) or score > progress.best_score
        progress.stale = 0 if is_best else progress.stale + 1
        if is_best:
            progress.best_score, progress.best_step = score, progress.step
            if self.fabric.is_global_zero:
                task.save_weights(self.networks[best], self.folder.best, scores[best])
        figures = ", ".join(f"{name}{task.score} {shown_score(values[task.score])}" for name, values in scores.items())
        return f"step {progress.step}: {figures}{' (best so far)' * is_best}{self.speed()}"

    def speed(self) -> str:
        """The samples per second since the last time, in words, and for TensorBoard."""
        rate, unit = self.throughput.take(), self.task.unit
        if unit is None or math.isnan(rate):
            return ""
        self.journal.chart(self.progress.step, {f"{unit}_per_second": rate})
        return f", {rate:.1f} {unit}/s"

    def save(self) -> None:
        """Writes last.ckpt."""
        if self.fabric.is_global_zero:
            save_checkpoint(
                self.folder.last,
                self.model.module,
                self.optimizer,
                self.fabric.strategy.precision,
                self.progress,
                self.networks[AVERAGE],
                self.task.identity,
            )
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
        for step, number, batch in self.loader.batches(0, WARM_STEPS + TIMED_STEPS):
            self.backward(step, number, batch)
            if number == self.loader.passes - 1:
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
        score = shown_score(math.nan if best.best_score is None else best.best_score)
        return f"best {self.task.score} {score} at step {best.best_step}, weights in {self.folder.best}"


def shown_score(score: float) -> str:
    """A score for people; words where nothing was there to be scored."""
    return "not known" if math.isnan(score) else f"{score:.4f}"


@contextmanager
def single_values_explained(batch_size: int) -> Iterator[None]:
    """Within it a BatchNorm that is given one value, of which there is no deviation, says what to do.

    Raises: UsageError then.
    """
    try:
        yield
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise UsageError(
            f"run.batch_size: {batch_size} leaves a BatchNorm of the network a single value to normalise; set "
            "run.batch_size=2 or more"
        ) from error
