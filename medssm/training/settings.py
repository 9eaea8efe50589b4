"""How a run is trained: optimiser, schedule, length, hardware. Every recipe holds one of these."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from medssm.training.schedules import (
    Constant,
    OneCycle,
    OverlappingCosine,
    Polynomial,
    StepCosine,
    StepDecay,
    WarmupCosine,
)
from medssm.training.section import Section

BoardName = Literal["tensorboard", "mlflow", "wandb"]
Precision = Literal["auto", "32-true", "16-mixed", "bf16-mixed"]


class DecayRule(Section):
    """Which parameters a factor of the weight decay is for.

    Attributes:
        name: a pattern of parameters' names, as file names have them: * stands for anything, ? for one letter.
        dimensions: only parameters of at most so many; None for any number.
        factor: of the weight decay.
    """

    name: str = "*"
    dimensions: int | None = Field(None, ge=0)
    factor: float = Field(0.0, ge=0)


class RateRule(Section):
    """Which parameters learn at a share of the learning rate.

    Attributes:
        name: a pattern of parameters' names, as for `DecayRule`.
        factor: the share; 0 freezes the parameters.
        scales: what is scaled: the "peak", so that a schedule's floor is the same for all, or the whole "schedule".
    """

    name: str
    factor: float = Field(ge=0)
    scales: Literal["peak", "schedule"] = "peak"


class LayerDecay(Section):
    """Learning rates that fall from the head to the stem.

    A parameter of block i has the rate times `rate` to the power of the number of blocks minus i; what lies before
    the first block counts as a block before it, all else is the head and has the full rate.

    Attributes:
        blocks: what the names of a block's parameters begin with, before its number.
        stem: patterns of the names before the first block.
    """

    rate: float = Field(gt=0, le=1)
    blocks: str
    stem: tuple[str, ...] = ()


class OptimizerSettings(Section):
    """The optimiser and its parameter groups.

    Attributes:
        algorithm: AdamW; schedule-free AdamW; or LAMB as timm has it, which itself clips the gradient's norm to 1 and
            adapts the rate of decayed parameters only.
        decay: the first rule that fits a parameter says how far it is decayed; one that none fits is in full.
        rates: the first rule that fits a parameter says at which share of the rate it learns; else it is the full one.
        clip_norm: the gradient's largest norm; None for no clipping.
        clip_in_mixed_precision: clip under 16-bit autocast too.
    """

    algorithm: Literal["adamw", "lamb", "schedule-free-adamw"] = "adamw"
    learning_rate: float = Field(gt=0)
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = Field(1e-8, gt=0)
    weight_decay: float = Field(0.0, ge=0)
    decay: tuple[DecayRule, ...] = ()
    rates: tuple[RateRule, ...] = ()
    layer_decay: LayerDecay | None = None
    clip_norm: float | None = Field(None, gt=0)
    clip_in_mixed_precision: bool = True


class AveragingSettings(Section):
    """The moving average (EMA) of all weights and statistics, taken after every step.

    Attributes:
        decay: the average keeps this share of itself.
        first_copies: the first step's weights are taken as they are.
        validate_both: the network itself is validated beside its average.
        keep: whose weights are written when they are the best: the average's, or those of whichever is better.
    """

    decay: float = Field(gt=0, lt=1)
    first_copies: bool = False
    validate_both: bool = True
    keep: Literal["average", "better"] = "average"

    @model_validator(mode="after")
    def _the_better_is_known(self) -> "AveragingSettings":
        if self.keep == "better" and not self.validate_both:
            raise ValueError("keeping the better of two needs both validated; set averaging.validate_both to true")
        return self


class RunSettings(Section):
    """Length, hardware and bookkeeping of a run.

    Attributes:
        batch_size: samples per device and pass.
        total_batch: samples per step of the optimiser; gradients of several passes are summed to reach it. None for
            one pass on each device.
        max_steps, max_epochs, max_minutes: the first that is reached ends the run; None for no bound. Minutes are
            turned into a number of steps by timing the first ones, so that the schedule and a resumed run are exact.
        precision: of the arithmetic; "auto" is 16-mixed on a CUDA device and 32-true elsewhere.
        devices, nodes: None takes what torchrun or SLURM started, else one.
        batch_statistics: running statistics of BatchNorm, which each device gathers from its own samples: the first
            device's are used, or the average over all.
        validate_every_epochs, validate_every_steps: when to validate; the end of the run always is.
        patience: validations without a better score after which the run ends; None for never.
        loggers: what shows the run's figures and pictures, beside metrics.csv and curves.png: "tensorboard", and of the
            extras of these names "mlflow" and "wandb".
        checkpoint_minutes: time between two writes of last.ckpt.
        loader_threads: threads that prepare the coming samples.
        loader_processes: processes that do so in their place; 0 for none.
    """

    seed: int = Field(0, ge=0)
    batch_size: int = Field(1, gt=0)
    total_batch: int | None = Field(None, gt=0)
    max_steps: int | None = Field(None, gt=0)
    max_epochs: int | None = Field(None, gt=0)
    max_minutes: float | None = Field(None, gt=0)
    precision: Precision = "auto"
    accelerator: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    devices: int | None = Field(None, gt=0)
    nodes: int | None = Field(None, gt=0)
    batch_statistics: Literal["first", "average"] = "first"
    validate_every_epochs: int | None = Field(None, gt=0)
    validate_every_steps: int | None = Field(None, gt=0)
    patience: int | None = Field(None, gt=0)
    log_every_steps: int = Field(10, gt=0)
    loggers: tuple[BoardName, ...] = ("tensorboard",)
    checkpoint_minutes: float = Field(5.0, ge=0)
    loader_threads: int = Field(1, gt=0)
    loader_processes: int = Field(0, ge=0)


class TrainingSettings(Section):
    """What the loop needs to know beside the task."""

    optimizer: OptimizerSettings
    schedule: Annotated[
        WarmupCosine | OneCycle | StepCosine | OverlappingCosine | StepDecay | Polynomial | Constant,
        Field(discriminator="kind"),
    ]
    averaging: AveragingSettings | None = None
    run: RunSettings
